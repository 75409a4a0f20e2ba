//! Sends requests without end.

attack::attack!(|input| loop {
    let _ = attack::request::send(input);
});
