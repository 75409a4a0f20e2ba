//! What `host` does, from outside: one binary, so that it links once.

mod provider;
