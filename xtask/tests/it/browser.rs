//! The pages in a real browser, in front of a whole stack: the tests in `frontend/web/e2e`.

use tokio::process::Command;
use xtask::{
    node::{Node, package_dir},
    packages::find_browser,
    progress::Progress,
    stack::Service,
    web::WEB,
};

use crate::harness::World;

#[tokio::test(flavor = "multi_thread")]
async fn pages_keep_their_promises() {
    // Before anything is started: who runs this test alone must know what it needs.
    let node = Node::ready(WEB).unwrap_or_else(|missing| panic!("{missing}"));
    let browser = find_browser().expect("Chromium is on PATH: `cargo xtask test` provides it");
    // With servers of its own: what a page shows as the whole must be this stack alone.
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

    // The pages' types are made of these documents: they must be what the services say today.
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
