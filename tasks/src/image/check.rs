//! Checks the images: each program prints its version, and each service becomes ready on private servers.

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};
use jaego_contracts::topology::User;
use nix::sys::signal::Signal;
use testkit::{
    process::{Process, Spec},
    servers::choose_ports,
    service::{ServiceSurroundings, Surroundings},
};
use tokio::{process::Command, time::sleep, time::timeout};

use super::{
    inside::Inside,
    tool::{Container, Tool},
};
use crate::dist::folder;
use crate::output::said;
use localstack::api::Api;
use localstack::packages;
use localstack::progress::Progress;
use localstack::stack::{FRONTEND, SERVICE_STOP_TIMEOUT};

/// An unprivileged user and group.
const USER: &str = "65532:65532";
const USER_ID: u32 = 65532;
const SERVICES: [(&str, User); 3] =
    [("sales-service", User::Sales), ("production-service", User::Production), ("restock-service", User::Restock)];
const ACCESS: &str = "access-service";
const VERSION_TIMEOUT: Duration = Duration::from_secs(30);
const MIGRATE_TIMEOUT: Duration = Duration::from_secs(120);
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn check(progress: &Progress, tool: &Tool, images: &[(&str, String, u64)]) -> anyhow::Result<()> {
    for (program, image, _) in images {
        let step = progress.begin(format!("Running {image}"))?;
        let container = tool.container(image).await?;
        let outcome = prints_its_version(&container, program).await;
        container.remove().await?;
        step.done(format!("{} runs as {USER}", outcome?));
    }
    packages::ensure(progress).await?;
    let surroundings = Surroundings::new().await;
    for (service, user) in SERVICES {
        let (_, image, _) = images.iter().find(|(program, ..)| *program == service).context("no image to start")?;
        let step = progress.begin(format!("Starting {service} from its image, on private servers"))?;
        let container = tool.container(image).await?;
        let outcome = becomes_ready(&container, service, &surroundings.service(user).await).await;
        container.remove().await?;
        outcome?;
        step.done(format!("{service} from its image became ready, and stopped in order when asked to"));
    }
    let (_, image, _) = images.iter().find(|(program, ..)| *program == ACCESS).context("no image to start")?;
    let step = progress.begin(format!("Starting {ACCESS} from its image, on a private server"))?;
    let container = tool.container(image).await?;
    let outcome = becomes_ready(&container, ACCESS, &surroundings.access().await).await;
    container.remove().await?;
    outcome?;
    step.done(format!("{ACCESS} from its image became ready, and stopped in order when asked to"));
    let (_, image, _) = images.iter().find(|(program, ..)| *program == FRONTEND).context("no image to start")?;
    let step = progress.begin(format!("Starting {FRONTEND} from its image, on a private broker"))?;
    let container = tool.container(image).await?;
    let mut env = surroundings.frontend().await;
    let addresses = ["SALES_PUBLIC_URL", "SALES_URL", "PRODUCTION_URL", "RESTOCK_URL"];
    env.extend(addresses.map(|key| (format!("JAEGO_FRONTEND__SERVICES__{key}"), "http://localhost:1".to_owned())));
    env.push(("JAEGO_FRONTEND__ACCESS__URL".to_owned(), "http://localhost:1".to_owned()));
    let outcome = serves(&container, FRONTEND, &env).await;
    container.remove().await?;
    outcome?;
    step.done(format!("{FRONTEND} from its image became ready, and stopped in order when asked to"));
    drop(surroundings);
    testkit::Lab::stop_unused().await?;
    Ok(())
}

async fn prints_its_version(container: &Container<'_>, program: &str) -> anyhow::Result<String> {
    ensure!(container.config.user == USER, "its user is {:?}, not {USER}", container.config.user);
    let version = timeout(VERSION_TIMEOUT, said(command(&container.run(&[], &["--version"])))).await;
    let version = version.context("it did not end")??;
    ensure!(version.starts_with(program), "--version said {version:?}");
    Ok(version)
}

/// The servers are addressed by name, so that name resolution inside the image is tested as well.
async fn becomes_ready(container: &Container<'_>, service: &str, own: &ServiceSurroundings) -> anyhow::Result<()> {
    let mut env: Vec<(String, String)> = own.env.iter().map(by_name).collect();
    if service == "production-service" {
        env.push(("JAEGO_PRODUCTION__CALLBACK__BASE_URL".to_owned(), "http://localhost:1".to_owned()));
    }
    let of_owner: Vec<(String, String)> = own.migrate_env().iter().map(by_name).collect();
    let migrated = timeout(MIGRATE_TIMEOUT, said(command(&container.run(&of_owner, &["migrate"])))).await;
    migrated.context("the migration did not end")??;
    serves(container, service, &env).await
}

fn by_name((key, value): &(String, String)) -> (String, String) {
    let value = if key.ends_with("_URL") { value.replace("@127.0.0.1:", "@localhost:") } else { value.clone() };
    (key.clone(), value)
}

/// Starts the program, waits until it is ready, and stops it gracefully.
async fn serves(container: &Container<'_>, service: &str, env: &[(String, String)]) -> anyhow::Result<()> {
    let [api, public, admin] = choose_ports([0; 3])?;
    let ports = [("HTTP__PORT", api), ("HTTP__PUBLIC_PORT", public), ("HTTP__ADMIN_PORT", admin)];
    let with_ports = env.iter().map(by_name).map(|(key, value)| {
        let port = ports.iter().find(|(name, _)| key.ends_with(&format!("__{name}")));
        (key, port.map_or(value, |(_, port)| port.to_string()))
    });
    let env: Vec<(String, String)> = with_ports.collect();
    let words = container.run(&env, &[]);
    let log = folder().with_file_name("image-check.log");
    // The log of an earlier check.
    fs::remove_file(&log).ok();
    let mut process = Spec::new(service, &words[0], log).args(&words[1..]).spawn()?;
    let ready = timeout(READY_TIMEOUT, ready(&mut process, &format!("http://127.0.0.1:{admin}"))).await;
    match ready {
        Ok(outcome) => outcome?,
        Err(_) => return Err(process.not_ready(format!("was not ready within {READY_TIMEOUT:?}")).into()),
    }
    if container.has_parent_here() {
        let inside = Inside::find(process.pid(), &container.config.entrypoint.concat())?;
        inside.must_be(USER_ID)?;
        inside.terminate()?;
    } else {
        process.signal(Signal::SIGTERM);
    }
    let status = process.wait_exit(SERVICE_STOP_TIMEOUT).await;
    let problem = format!("was asked to stop; after {SERVICE_STOP_TIMEOUT:?} at most its status was {status:?}");
    ensure!(status.is_some_and(|status| status.success()), process.not_ready(problem));
    Ok(())
}

/// Waits for `ready`, which needs all dependencies: a service without its broker is only degraded.
async fn ready(process: &mut Process, admin: &str) -> anyhow::Result<()> {
    let admin = Api::new(admin);
    loop {
        let answer = admin.get("/readyz").await;
        if answer.is_ok_and(|answer| answer.status.is_success() && answer.body["status"] == "ready") {
            return Ok(());
        }
        process.check_alive()?;
        sleep(PAUSE).await;
    }
}

fn command(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}
