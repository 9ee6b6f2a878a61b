//! A second sales-service with a new database.

use localstack::stack::Service;
use testkit::{process::Process, provision::drop_database};

use crate::{
    bounds, database,
    results::CaseResult,
    shop::Shop,
    stage::{Replica, Stage},
};

/// A process of sales-service next to the stack's own, with a new database.
pub(super) struct Fresh {
    pub(super) shop: Shop,
    pub(super) process: Process,
    name: String,
}

impl Fresh {
    /// `name` names the database and the log of the process.
    pub(super) async fn start(stage: &Stage, name: &str) -> anyhow::Result<Self> {
        let database = database::make(&stage.stack, Service::Sales, name).await?;
        let Replica { public, process, .. } = stage.sales_beside(name, &[("DATABASE__URL", database.clone())]).await?;
        Ok(Self { shop: Shop::of_other_service(stage, public, database).await?, process, name: name.to_owned() })
    }

    /// Checks the database against the answers, then deletes it, because millions of orders take up space.
    pub(super) async fn end(mut self, stage: &Stage, result: &mut CaseResult) -> anyhow::Result<()> {
        self.shop.audit(stage, result).await?;
        self.process.terminate(bounds::STOP).await?;
        drop(self.shop);
        Ok(drop_database(&stage.stack.postgres_admin_url()?, &self.name, &self.name).await?)
    }
}
