//! A second sales-service with a database that is new.

use testkit::{process::Process, provision::drop_database, servers::choose_ports};
use xtask::stack::Service;

use crate::{bounds, database, results::CaseResult, shop::Shop, stage::Stage};

/// A process of sales-service beside the stack's own, with a new database.
pub(super) struct Fresh {
    pub(super) shop: Shop,
    pub(super) process: Process,
    name: String,
}

impl Fresh {
    /// `name` is the database's.
    pub(super) async fn start(stage: &Stage, name: &str) -> anyhow::Result<Self> {
        let database = database::make(&stage.stack, Service::Sales, name).await?;
        let [api, public, admin] = choose_ports([0, 0, 0])?;
        let settings = [
            ("HTTP__PORT", api.to_string()),
            ("HTTP__PUBLIC_PORT", public.to_string()),
            ("HTTP__ADMIN_PORT", admin.to_string()),
            ("DATABASE__URL", database.clone()),
        ];
        let mut process = stage.stack.beside(Service::Sales, "serve", name, &settings)?;
        process.wait_ok(&format!("http://127.0.0.1:{admin}/readyz"), bounds::START).await?;
        let url = format!("http://127.0.0.1:{public}");
        Ok(Self { shop: Shop::of_other_service(stage, url, database).await?, process, name: name.to_owned() })
    }

    /// Holds the database to what was answered, then deletes it: millions of orders take room.
    pub(super) async fn end(mut self, stage: &Stage, result: &mut CaseResult) -> anyhow::Result<()> {
        self.shop.audit(stage, result).await?;
        self.process.terminate(bounds::STOP).await?;
        drop(self.shop);
        Ok(drop_database(&stage.stack.postgres_admin_url()?, &self.name, &self.name).await?)
    }
}
