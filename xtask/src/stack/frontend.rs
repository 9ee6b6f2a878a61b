//! The frontend of a stack: the shop and the console, in front of the services.

use testkit::process::Spec;

use super::{Stack, Urls, Want, record, wait_ready};
use crate::progress::Progress;

/// Its program, which is also its package, its name in messages, and its user of the broker.
pub(crate) const FRONTEND: &str = "frontend";

impl Stack {
    /// Starts the frontend. The services run already.
    pub async fn start_frontend(&mut self, want: Want, progress: &Progress) -> anyhow::Result<()> {
        let step = progress.begin("Starting the frontend")?;
        let program = self.options.programs.path(FRONTEND);
        let marker = format!("{} serve", program.display());
        let process = Spec::new(FRONTEND, program, self.log(FRONTEND))
            .arg("serve")
            .clear_env()
            .envs(self.frontend_environment()?)
            .record(record(&self.options.dir, FRONTEND), marker)
            .spawn()?;
        let admin = self.frontend_urls().admin;
        wait_ready(self.frontend.insert(process), &admin, want, progress).await?;
        step.done(format!("The frontend is on {}", self.frontend_urls().api));
        Ok(())
    }

    /// Where the frontend answers, if it runs.
    pub fn frontend_urls(&self) -> Urls {
        self.ports.urls(FRONTEND)
    }
}
