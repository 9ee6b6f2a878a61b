//! sales-service: `serve`, `migrate`, `check-config`.

use std::process::ExitCode;

use sales_service::app;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    jaego_service::run(app::IDENTITY, app::start)
}
