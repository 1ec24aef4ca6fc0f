//! `GET /chatkit/sessions/{id}`: everything that a page shows of a session.

mod handler;

fn main() -> std::process::ExitCode {
    shared::edge::serve::<handler::GetSession>()
}
