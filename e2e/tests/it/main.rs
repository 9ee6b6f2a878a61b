//! All of Jaego as real processes on real servers: the main job, crashes and faults in the middle of it, generated
//! clients and requests, and the pages in a browser.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod api_client;
mod api_documents;
mod browser;
mod commands;
mod crashes;
mod faults;
mod lost;
mod main_job;
mod poison;
mod smoke;
mod structure;
mod threat_model;
mod traffic;
