//! Runs a crowd of attackers in a separate process: see `tests::crowd`.

use tokio::sync::oneshot;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // The process ends with the one that started it, also when that is killed.
    let (tell, gone) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line).is_ok_and(|length| length > 0) {}
        drop(tell);
    });
    tokio::select! {
        () = tests::crowd::run(std::env::args()) => {}
        _ = gone => {}
    }
}
