//! Tests that need a process of their own.

#![expect(clippy::expect_used, reason = "a broken surrounding must stop the test with a sentence")]

mod traces;
