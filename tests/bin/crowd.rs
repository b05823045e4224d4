//! A crowd of attackers in a process of its own: see `tests::crowd`.

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // Gone with whoever started it, also when that is killed.
    std::thread::spawn(|| {
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line).is_ok_and(|length| length > 0) {}
        std::process::exit(0);
    });
    tests::crowd::run(std::env::args()).await;
}
