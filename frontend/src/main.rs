//! The process: `serve`, `check-config`.

use std::process::ExitCode;

use frontend::app;
use frontend::settings::Settings;

// With the system's allocator: mimalloc requests huge pages, and its heap per thread then takes 50 MB for a process
// that holds 10 MB, or 15 MB with five hundred browsers.
fn main() -> ExitCode {
    jaego_process::run_without_database::<Settings, _>(app::PROGRAM, app::start)
}
