//! Follows a redirect to where it may not go.

attack::attack!(|input| {
    let answer = attack::request::send(input)?;
    let location = answer.location.ok_or("no redirect")?;
    let answer = attack::request::send(&serde_json::json!({ "url": location }))?;
    Ok(attack::breach(&answer.body))
});
