//! The README and the docs: what they say can be typed works, where they point to exists, and what is generated is
//! what the program has today.

mod blocks;
mod commands;
mod config;
mod generated;
mod languages;
mod links;
mod page;
