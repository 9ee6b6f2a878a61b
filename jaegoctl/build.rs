//! Migrations are compiled in from the services' folders, so a new file must trigger a rebuild.

fn main() {
    for service in ["sales", "production", "restock", "access"] {
        println!("cargo:rerun-if-changed=../{service}-service/migrations");
    }
}
