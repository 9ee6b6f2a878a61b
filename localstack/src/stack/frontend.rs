//! The stack's frontend: the shop and the console, in front of the services.

use std::time::Duration;

use testkit::process::{Process, Spec};

use super::{Stack, Urls, Want, record, wait_ready};
use crate::progress::Progress;

/// Name of the frontend's program, package and broker user, also used in messages.
pub const FRONTEND: &str = "frontend";

impl Stack {
    /// Starts the frontend; the services must be running. Returns whether it has pages, which are missing without
    /// Node.js.
    pub async fn start_frontend(&mut self, progress: &Progress) -> anyhow::Result<bool> {
        let step = progress.begin("Starting the frontend")?;
        let program = self.options.programs.path(FRONTEND);
        let marker = format!("{} serve", program.display());
        let process = Spec::new(FRONTEND, program, self.log(FRONTEND))
            .arg("serve")
            .clear_env()
            .envs(self.frontend_environment()?)
            .record(record(&self.options.dir, FRONTEND), marker)
            .spawn()?;
        let urls = self.frontend_urls();
        // Without pages the frontend is degraded.
        wait_ready(self.frontend.insert(process), &urls.admin, Want::ReadyOrDegraded, progress).await?;
        let page = testkit::http::client(Duration::from_secs(20)).get(&urls.api).send().await?;
        step.done(format!("The frontend is on {}", urls.api));
        Ok(page.status().is_success())
    }

    /// The frontend, if it was started.
    pub fn frontend_process(&self) -> Option<&Process> {
        self.frontend.as_ref()
    }

    /// Addresses of the frontend, if it runs.
    pub fn frontend_urls(&self) -> Urls {
        self.ports.urls(FRONTEND)
    }
}
