//! Makes cargo look at what the web application's own build has made.

use std::path::Path;

fn main() -> std::io::Result<()> {
    // Release builds hold the files themselves; debug builds read the folder when they start.
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        // A folder that is not there would count as changed each time.
        let built = Path::new("web/dist");
        std::fs::create_dir_all(built)?;
        println!("cargo::rerun-if-changed={}", built.display());
    }
    Ok(())
}
