use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// The lines that are typed at the terminal.
///
/// A read cannot be taken back: where nobody waits any more for the line that is being read, it is left to whoever asks
/// next. A line that was typed before anybody asked answers nothing.
#[derive(Debug, Default)]
pub(super) struct Typed(Mutex<Option<JoinHandle<Option<String>>>>);

impl Typed {
    /// The next line that is typed; none if the terminal is at its end.
    pub(super) async fn line(&self) -> Option<String> {
        let mut reading = self.0.lock().await;
        reading.take_if(|read| read.is_finished());
        let line = reading.get_or_insert_with(|| tokio::task::spawn_blocking(read)).await;
        *reading = None;
        line.ok().flatten()
    }
}

fn read() -> Option<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).ok().filter(|bytes| *bytes > 0).map(|_| line)
}
