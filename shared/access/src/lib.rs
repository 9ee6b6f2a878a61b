//! The client of access-service, which knows the tokens and sessions that it has issued.

#![warn(missing_docs)]

mod cache;
mod client;
pub mod settings;

pub use cache::Known;
pub use client::{
    ACTIVE_MAX, Client, Introspected, NewSession, SignIn, SignInAnswer, SignInBegun, SignInEnd, SignInRefusal, SignOut,
};
