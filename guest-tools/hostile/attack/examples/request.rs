//! Sends the request that the input describes.

attack::attack!(|input| {
    let answer = attack::request::send(input)?;
    Ok(attack::breach(&format!("{} {} bytes: {}", answer.status, answer.bytes, answer.body)))
});
