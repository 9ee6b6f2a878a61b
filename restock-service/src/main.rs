//! The process: `serve`, `migrate`, `check-config`.

use std::process::ExitCode;

use restock_service::app;
use restock_service::settings::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    jaego_service::run::<Settings, _>(app::IDENTITY, app::start)
}
