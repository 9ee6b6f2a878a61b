//! The smoke test of a running Jaego, with this process as the factory: orders until one is refused, a
//! production request, the callback, stock again. It creates a product and a factory of its own, with names
//! of this run, and takes them out of use in the end, whatever the outcome.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};
use factory_simulator::{FactorySimulator, Faults};
use reqwest::StatusCode;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::calls::{Api, Deadline};

const OPENING_STOCK: u64 = 2;
const ORDER_UP_TO: u64 = 5;
/// Cleanup has its own timeout, because that of the test may be over.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(20);

/// Addresses of Jaego, and how it reaches this factory.
#[derive(Debug)]
pub struct Settings {
    /// The `api` port of sales-service.
    pub sales_url: Url,
    /// The `api` port of production-service.
    pub production_url: Url,
    /// The `api` port of restock-service.
    pub restock_url: Url,
    /// A bearer token of role operator.
    pub token: SecretString,
    /// Address that the factory listens on.
    pub listen: SocketAddr,
    /// URL at which production-service reaches the factory; `None` for the address that it listens on.
    pub factory_url: Option<Url>,
    /// Scheme, host and port for the callback, instead of the `CallbackUrl`'s.
    pub callback_via: Option<Url>,
    /// Duration of each of the factory's four stages, milliseconds.
    pub stage_ms: u64,
    /// For everything but cleanup.
    pub timeout: Duration,
}

pub struct SmokeTest {
    sales: Api,
    production: Api,
    restock: Api,
    factory: FactorySimulator,
    factory_url: String,
    name: String,
    began: Instant,
    deadline: Deadline,
    made: Made,
    say: fn(&str),
}

/// Resources that must be taken out of use.
#[derive(Debug, Default)]
struct Made {
    factory: bool,
    product: bool,
}

impl SmokeTest {
    /// Starts the factory. `say` gets a line with its time for each completed step.
    pub fn new(settings: &Settings, say: fn(&str)) -> Result<Self> {
        let factory = FactorySimulator::start_with(settings.listen, settings.stage_ms)?;
        let via = settings.callback_via.as_ref().map(Url::to_string);
        factory.set_faults(Faults { callback_via: via, ..Faults::default() })?;
        let factory_url = match &settings.factory_url {
            Some(url) => url.to_string(),
            None if settings.listen.ip().is_unspecified() => {
                bail!(
                    "the factory listens on every address ({}): give --factory-url, the URL at which production-service reaches it",
                    settings.listen
                );
            }
            None => factory.url().to_owned(),
        };
        let api = |service, url: &Url| Api::new(service, url.as_str(), &settings.token);
        Ok(Self {
            sales: api("sales-service", &settings.sales_url)?,
            production: api("production-service", &settings.production_url)?,
            restock: api("restock-service", &settings.restock_url)?,
            factory,
            factory_url,
            name: format!("SMOKE-{}", Uuid::now_v7()),
            began: Instant::now(),
            deadline: Deadline::after(settings.timeout),
            made: Made::default(),
            say,
        })
    }

    /// Runs until everything is done, something is wrong, or `stop` completes; then cleans up.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<()> {
        let outcome = tokio::select! {
            outcome = self.main_job() => outcome,
            () = stop => Err(anyhow!("stopped before it was done")),
        };
        self.deadline = Deadline::after(CLEAN_UP_TIMEOUT);
        let tidied = self.clean_up().await;
        if let (Err(_), Err(error)) = (&outcome, &tidied) {
            self.report(&format!("could not clean up: {error}"));
        }
        self.factory.stop().await;
        outcome.and(tidied)
    }

    async fn main_job(&mut self) -> Result<()> {
        self.wait_for_services().await?;
        self.open_the_shop().await?;
        self.order_until_refused().await?;
        let request = self.wait_for_production_request().await?;
        self.wait_for_callback(request).await?;
        self.wait_for_stock().await?;
        let order = self.order(0).await?;
        if order != StatusCode::CREATED {
            bail!("there is stock again, but an order was refused");
        }
        self.report("ordered again: confirmed");
        self.check_books().await
    }

    async fn wait_for_services(&self) -> Result<()> {
        for api in [&self.sales, &self.production, &self.restock] {
            api.get(self.deadline, "/api/v1/audit").await?;
            self.report(&format!("{} answers", api.service()));
        }
        Ok(())
    }

    async fn open_the_shop(&mut self) -> Result<()> {
        self.made.factory = true;
        self.put_factory(true).await?;
        self.report(&format!("factory {} at {}", self.name, self.factory_url));
        self.made.product = true;
        self.put_product(true).await?;
        let path = format!("/api/v1/products/{}/adjustments", self.name);
        let body = json!({ "delta": OPENING_STOCK, "reason": "correction", "note": "smoke test" });
        self.sales.post(self.deadline, &path, &format!("{}-opening", self.name), &body, &[]).await?;
        self.report(&format!("product {} with {OPENING_STOCK} on hand", self.name));
        Ok(())
    }

    async fn put_factory(&self, enabled: bool) -> Result<Value> {
        let body = json!({ "name": "Smoke test", "base_url": self.factory_url, "enabled": enabled, "lead_time_s": 10 });
        self.production.put(self.deadline, &format!("/api/v1/factories/{}", self.name), &body).await
    }

    async fn put_product(&self, on_sale: bool) -> Result<Value> {
        let policy = json!({
            "reorder_point": 0, "order_up_to": ORDER_UP_TO, "lot_size": 1, "shortage": "reject",
            "mode": if on_sale { "auto" } else { "off" },
        });
        let body = json!({
            "name": "Smoke test (not for sale)", "price": { "amount": 1, "currency": "KRW" },
            "factory_id": self.name, "on_sale": on_sale, "policy": policy,
        });
        self.sales.put(self.deadline, &format!("/api/v1/products/{}", self.name), &body).await
    }

    /// Places an order: 201 or 409. The number makes its idempotency key unique.
    async fn order(&self, number: u64) -> Result<StatusCode> {
        let body = json!({ "lines": [{ "sku": self.name, "quantity": 1 }], "customer": "smoke test" });
        let key = format!("{}-order-{number}", self.name);
        let refused = [StatusCode::CONFLICT];
        Ok(self.sales.post(self.deadline, "/api/v1/orders", &key, &body, &refused).await?.status)
    }

    /// The factory may be faster than we are, and then there is more to sell before an order is refused.
    async fn order_until_refused(&self) -> Result<()> {
        let mut number = 1;
        self.deadline
            .until("an order is refused, because everything is sold", async || {
                let status = self.order(number).await?;
                number += 1;
                if status == StatusCode::CONFLICT { Ok(Ok(())) } else { Ok(Err(format!("order {number}: {status}"))) }
            })
            .await?;
        let confirmed = number - 2;
        if confirmed < OPENING_STOCK {
            bail!("{OPENING_STOCK} were on hand, but only {confirmed} could be ordered");
        }
        self.report(&format!("{confirmed} orders confirmed, then one refused: sold out"));
        Ok(())
    }

    /// Returns the index of the request at the simulator.
    async fn wait_for_production_request(&self) -> Result<u64> {
        let asked = self
            .deadline
            .until("the factory is asked to produce", async || {
                let asked = self.factory.requests().into_iter().find(|asked| asked.body.contains(&self.name));
                match asked.filter(|asked| asked.answer_status == Some(201)) {
                    Some(asked) => Ok(Ok(asked)),
                    None => Ok(Err(self.production_seen().await?)),
                }
            })
            .await?;
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let quantity = body["MessageAttributeProductCnt"].as_str().unwrap_or("an unknown number").to_owned();
        self.report(&format!("the factory was asked to produce {quantity}, and accepted"));
        Ok(asked.index)
    }

    /// State of the production request, for the message when it does not reach the factory.
    async fn production_seen(&self) -> Result<String> {
        let path = format!("/api/v1/production-requests?sku={}", self.name);
        let list = self.production.get(self.deadline, &path).await?;
        let Some(request) = list["items"].get(0) else {
            return Ok("production-service knows of no request: did sales-service's event reach it?".to_owned());
        };
        let path = format!("/api/v1/production-requests/{}", request["id"].as_str().unwrap_or_default());
        let request = self.production.get(self.deadline, &path).await?;
        let last = request["attempts"].as_array().and_then(|attempts| attempts.last());
        let last = last.map_or_else(|| "no attempt yet".to_owned(), |attempt| format!("last attempt: {attempt}"));
        Ok(format!("the production request is {}, {last}", request["status"].as_str().unwrap_or("unknown")))
    }

    async fn wait_for_callback(&self, request: u64) -> Result<()> {
        let sent = self
            .deadline
            .until("the factory's callback is answered", async || {
                let sent = self.factory.callbacks().into_iter().find(|sent| sent.request_index == request);
                let done = sent.filter(|sent| sent.status.is_some() || sent.error.is_some());
                Ok(done.ok_or_else(|| "the goods are still being made, or the callback waits for an answer".to_owned()))
            })
            .await?;
        let place =
            Url::parse(&sent.url).map_or_else(|_| "no URL".to_owned(), |url| url.origin().ascii_serialization());
        match (sent.status, sent.error) {
            (Some(200), _) => {
                self.report(&format!("the factory called back at {place}: received"));
                Ok(())
            }
            (Some(status), _) => Err(anyhow!("the factory's callback at {place} was answered {status}")),
            (None, error) => {
                let error = error.unwrap_or_default();
                Err(anyhow!("the factory's callback at {place} got no answer: {error}"))
            }
        }
    }

    async fn wait_for_stock(&self) -> Result<()> {
        let path = format!("/api/v1/stock/{}", self.name);
        let on_hand = self
            .deadline
            .until("the goods are in stock", async || {
                let stock = self.sales.get(self.deadline, &path).await?;
                let on_hand = stock["on_hand"].as_u64().filter(|on_hand| *on_hand > 0);
                Ok(on_hand.ok_or_else(|| format!("stock {stock}")))
            })
            .await?;
        self.report(&format!("{on_hand} on hand again"));
        Ok(())
    }

    /// Each service's books are correct, and all of them have received the same.
    async fn check_books(&self) -> Result<()> {
        let received = self
            .deadline
            .until("the audits of the three services agree", async || {
                let mut received = Vec::new();
                for api in [&self.sales, &self.production, &self.restock] {
                    let audit = api.get(self.deadline, "/api/v1/audit").await?;
                    if audit["ok"] != true {
                        let off = audit["checks"].as_array().into_iter().flatten().find(|check| check["ok"] != true);
                        return Ok(Err(format!("{}: {}", api.service(), off.unwrap_or(&audit))));
                    }
                    let totals = audit["totals"].as_array().into_iter().flatten();
                    let own = totals.into_iter().find(|total| total["sku"] == self.name.as_str());
                    received.push(own.and_then(|total| total["received"].as_u64()).unwrap_or(0));
                }
                let agree = received[0] > 0 && received.iter().all(|units| *units == received[0]);
                Ok(if agree { Ok(received[0]) } else { Err(format!("received, by service: {received:?}")) })
            })
            .await?;
        self.report(&format!("the audits pass: each service has received {received}"));
        Ok(())
    }

    /// In this order nothing new is made for the product, and no service goes on calling a factory that is
    /// gone.
    async fn clean_up(&self) -> Result<()> {
        if self.made.product {
            self.put_product(false).await?;
            let path = format!("/api/v1/replenishments?sku={}", self.name);
            let list = self.sales.get(self.deadline, &path).await?;
            for replenishment in list["items"].as_array().into_iter().flatten() {
                if !matches!(replenishment["status"].as_str(), Some("proposed" | "open" | "stalled")) {
                    continue;
                }
                let id = replenishment["id"].as_str().unwrap_or_default();
                let path = format!("/api/v1/replenishments/{id}/close");
                let body = json!({ "reason": "the smoke test has ended" });
                // It may be complete by now, which is just as well.
                let ended = [StatusCode::CONFLICT];
                self.sales.post(self.deadline, &path, &format!("{id}-close"), &body, &ended).await?;
            }
        }
        if self.made.factory {
            self.put_factory(false).await?;
            self.report("cleaned up: the product is off sale, the factory is disabled");
        }
        Ok(())
    }

    fn report(&self, what: &str) {
        (self.say)(&format!("{:>6.1} s  {what}", self.began.elapsed().as_secs_f64()));
    }
}
