//! The pages in a real browser, in front of a whole stack: runs the tests in `frontend/web/e2e`.

use localstack::packages::find_browser;
use localstack::progress::Progress;
use localstack::stack::Service;
use tasks::node::{Node, WEB, package_dir};
use tokio::process::Command;

use e2e::World;

#[tokio::test(flavor = "multi_thread")]
async fn pages_keep_their_promises() {
    // Before anything is started, so that a run of this test alone reports what is missing.
    let node = Node::ready(WEB).unwrap_or_else(|missing| panic!("{missing}"));
    let browser = find_browser().expect("Chromium is on PATH: `cargo xtask test` provides it");
    // Private servers, because what a page shows as the total must be of this stack alone.
    let mut world = World::private().await;
    let has_pages = world.stack.start_frontend(&Progress::silent()).await.expect("a frontend");
    assert!(has_pages, "there are no pages: `cargo xtask test` builds them, or `npm run build` in {WEB}");

    let frontend = world.stack.frontend_urls();
    let npm_run = |args: &[&str]| {
        let mut npm = node.npm(&package_dir(WEB));
        npm.arg("run").args(args);
        for service in Service::ALL {
            npm.env(format!("{}_URL", service.name().to_uppercase()), world.stack.urls(service).api);
        }
        npm
    };

    // The pages' types are generated from these documents, which must match what the services return today.
    must_succeed("npm run generate -- --check", npm_run(&["generate", "--", "--check"])).await;

    let mut e2e = npm_run(&["e2e"]);
    e2e.env("CHROMIUM", browser).env("FACTORY_URL", world.stack.factory_url());
    e2e.env("FRONTEND_URL", frontend.api).env("FRONTEND_PUBLIC_URL", frontend.public);
    e2e.env("OPERATOR_TOKEN", world.stack.operator_token()).env("VIEWER_TOKEN", world.stack.viewer_token());
    must_succeed("npm run e2e", e2e).await;
    world.stop().await;
}

async fn must_succeed(name: &str, mut command: Command) {
    let output = command.output().await.unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{name}\n{said}");
}
