//! One file or folder a command.

pub(crate) mod audit;
