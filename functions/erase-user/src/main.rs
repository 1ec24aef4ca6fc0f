//! Ordered by an operator: erases a person.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve_admin::<handler::EraseUser>()
}
