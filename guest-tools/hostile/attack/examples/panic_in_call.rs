//! Breaks off.

attack::attack!(|_| panic!("on purpose"));
