//! Lets a service tell it the secret that it was given a placeholder for, and gives that away: in its output,
//! its error, its log or on stdout, as the input says.

attack::attack!(|input| {
    let body = attack::request::send(input)?.body;
    match attack::text(input, "then") {
        "error" => Err(body),
        "log" => {
            attack::log(attack::Level::Info, &body);
            println!("{body}");
            Ok("logged".to_owned())
        }
        "backwards" => Ok(body.chars().rev().collect()),
        _ => Ok(body),
    }
});
