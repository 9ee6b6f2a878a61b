//! The process: `serve`, `check-config`.

use std::process::ExitCode;

use frontend::app;
use frontend::settings::Settings;

// With the system's allocator: mimalloc asks for huge pages, and its heap for each thread then takes 50 MB for a
// process that holds 10, and 15 with five hundred browsers.
fn main() -> ExitCode {
    jaego_process::run_without_database::<Settings, _>(app::PROGRAM, app::start)
}
