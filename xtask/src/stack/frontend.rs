//! The frontend of a stack: the shop and the console, in front of the services.

use std::time::Duration;

use testkit::process::Spec;

use super::{Stack, Urls, Want, record, wait_ready};
use crate::progress::Progress;

/// Its program, which is also its package, its name in messages, and its user of the broker.
pub(crate) const FRONTEND: &str = "frontend";

impl Stack {
    /// Starts the frontend; the services run already. Answers whether it has pages: somebody without Node.js has none.
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
        // Without pages it is not all that it could be.
        wait_ready(self.frontend.insert(process), &urls.admin, Want::ReadyOrDegraded, progress).await?;
        let page = testkit::http::client(Duration::from_secs(20)).get(&urls.api).send().await?;
        step.done(format!("The frontend is on {}", urls.api));
        Ok(page.status().is_success())
    }

    /// Where the frontend answers, if it runs.
    pub fn frontend_urls(&self) -> Urls {
        self.ports.urls(FRONTEND)
    }
}
