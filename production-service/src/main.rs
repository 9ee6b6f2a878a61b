//! The program; see `production-service --help`.

use std::process::ExitCode;

use production_service::app;
use production_service::settings::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    jaego_service::run::<Settings, _>(app::IDENTITY, app::start)
}
