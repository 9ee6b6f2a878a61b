//! The process: `serve`, `migrate`, `check-config`.

use std::process::ExitCode;

use access_service::app;
use access_service::settings::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    jaego_service::run::<Settings, _>(app::IDENTITY, app::start)
}
