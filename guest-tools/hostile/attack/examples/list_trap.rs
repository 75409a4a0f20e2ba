//! Breaks off while it is asked for its tools.

attack::attack!(list: panic!("on purpose"), call: |_: &str| Ok(String::new()));
