//! Builds again when a migration is added: `migrate!` alone sees only the files it knows.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}
