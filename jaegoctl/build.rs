//! Migrations are built in from the services' folders: a new one must be seen.

fn main() {
    for service in ["sales", "production", "restock"] {
        println!("cargo:rerun-if-changed=../{service}-service/migrations");
    }
}
