//! The process: `serve`, `check-config`.

use std::process::ExitCode;

use frontend::app;
use frontend::settings::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shared::service::run_without_database::<Settings, _>(app::PROGRAM, app::start)
}
