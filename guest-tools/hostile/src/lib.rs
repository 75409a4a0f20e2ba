//! Tools that misbehave, for the tests of the sandbox. None of them is of use to anybody else.

#[tool_sdk::component(orchestrator)]
mod hostile {
    use std::collections::HashMap;
    use std::hash::{BuildHasher as _, RandomState};
    use std::hint::black_box;
    use std::io::Write as _;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::Value;
    use tool_sdk::{Call, ToolError};

    /// How much of something.
    #[derive(Deserialize, JsonSchema)]
    pub struct Bytes {
        /// In bytes.
        bytes: usize,
    }

    /// How many lines.
    #[derive(Deserialize, JsonSchema)]
    pub struct Lines {
        /// How many.
        lines: usize,
    }

    /// How often to fail.
    #[derive(Deserialize, JsonSchema)]
    pub struct Failures {
        /// Attempts up to and with this one fail.
        fail_attempts: u32,
    }

    /// How long to take.
    #[derive(Deserialize, JsonSchema)]
    pub struct Pause {
        /// In milliseconds.
        pause_ms: u64,
    }

    /// How often, and how long, to sleep.
    #[derive(Deserialize, JsonSchema)]
    pub struct Naps {
        /// In microseconds.
        naps_us: Vec<u64>,
    }

    /// A directory.
    #[derive(Deserialize, JsonSchema)]
    pub struct Directory {
        /// Where it is.
        path: String,
    }

    /// Anything.
    #[derive(Deserialize, JsonSchema)]
    pub struct Anything {
        /// What comes back.
        value: Value,
    }

    /// Calls to pass on.
    #[derive(Deserialize, JsonSchema)]
    pub struct Relayed {
        /// What to call, batch by batch.
        batches: Vec<Vec<Order>>,
        /// Attempts up to and with this one fail after the calls, as a busy service does.
        #[serde(default)]
        fail_attempts: u32,
        /// The first attempt then waits for so long, in milliseconds.
        #[serde(default)]
        pause_ms: u64,
        /// Begin with the batch of the number of the attempt.
        #[serde(default)]
        fickle: bool,
    }

    /// A call to pass on.
    #[derive(Deserialize, JsonSchema)]
    pub struct Order {
        /// The tool.
        name: String,
        /// Its input.
        input: Value,
    }

    /// What became of a call.
    #[derive(Serialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Answer {
        /// Its output.
        Output(Value),
        /// It was asked for something else.
        InvalidInput(String),
        /// It may be asked again.
        Transient(String),
        /// It may not.
        Failed(String),
    }

    /// Calls other tools and returns what they answer, in one list.
    pub fn relay(relayed: Relayed) -> Result<Vec<Answer>, ToolError> {
        let Relayed { batches, fail_attempts, pause_ms, fickle } = relayed;
        let attempt = tool_sdk::context().attempt;
        let skipped = if fickle { attempt as usize - 1 } else { 0 };
        let mut answers = Vec::new();
        for batch in batches.into_iter().skip(skipped) {
            let calls: Result<Vec<Call>, _> =
                batch.iter().map(|Order { name, input }| Call::new(name, input)).collect();
            answers.extend(tool_sdk::call_all(calls?).into_iter().map(|answer| match answer {
                Ok(output) => Answer::Output(output),
                Err(ToolError::InvalidInput(message)) => Answer::InvalidInput(message),
                Err(ToolError::Transient(message)) => Answer::Transient(message),
                Err(ToolError::Failed(message)) => Answer::Failed(message),
            }));
        }
        if attempt == 1 {
            std::thread::sleep(Duration::from_millis(pause_ms));
        }
        if attempt <= fail_attempts {
            return Err(ToolError::Transient(format!("attempt {attempt} fails")));
        }
        Ok(answers)
    }

    /// Loops for ever.
    pub fn spin() -> Result<(), ToolError> {
        loop {
            black_box(());
        }
    }

    /// Takes memory and writes to it until there is none left.
    pub fn eat_memory() -> Result<(), ToolError> {
        let mut hoard = Vec::new();
        loop {
            hoard.push(black_box(vec![1_u8; 1 << 20]));
        }
    }

    /// Panics.
    pub fn panic_now() -> Result<(), ToolError> {
        panic!("this tool always panics");
    }

    /// Calls itself for ever.
    pub fn recurse() -> Result<u64, ToolError> {
        #[allow(unconditional_recursion, reason = "overrunning the stack is what this tool is for")]
        fn deeper(n: u64) -> u64 {
            black_box([n; 16])[7] + black_box(deeper)(n + 1)
        }
        Ok(deeper(0))
    }

    /// Writes this much to stdout and as much to stderr.
    pub fn flood_stdout(amount: Bytes) -> Result<(), ToolError> {
        let mut line = [b'x'; 100];
        line[99] = b'\n';
        let mut left = amount.bytes;
        while left > 0 {
            let piece = &line[..left.min(line.len())];
            std::io::stdout().write_all(piece)?;
            std::io::stderr().write_all(piece)?;
            left -= piece.len();
        }
        Ok(())
    }

    /// Logs this many lines.
    pub fn flood_log(amount: Lines) -> Result<(), ToolError> {
        for n in 0..amount.lines {
            tool_sdk::log::info(&format!("line {n}"));
        }
        Ok(())
    }

    /// Returns a string of this many bytes.
    pub fn big_output(amount: Bytes) -> Result<String, ToolError> {
        Ok("x".repeat(amount.bytes))
    }

    /// Fails at first, as a busy service does.
    pub fn flaky(failures: Failures) -> Result<u32, ToolError> {
        let attempt = tool_sdk::context().attempt;
        if attempt <= failures.fail_attempts {
            return Err(ToolError::Transient(format!("attempt {attempt} fails")));
        }
        Ok(attempt)
    }

    /// Returns what it gets.
    pub fn echo(anything: Anything) -> Result<Value, ToolError> {
        Ok(anything.value)
    }

    /// Takes a while.
    pub fn slow(pause: Pause) -> Result<(), ToolError> {
        std::thread::sleep(Duration::from_millis(pause.pause_ms));
        Ok(())
    }

    /// What the clocks show, in nanoseconds.
    #[derive(Serialize, JsonSchema)]
    pub struct Shown {
        wall: Vec<String>,
        monotonic: Vec<String>,
    }

    /// Looks at the clocks between naps, and after some work.
    pub fn watch(naps: Naps) -> Result<Shown, ToolError> {
        let start = Instant::now();
        let mut shown = Shown { wall: Vec::new(), monotonic: Vec::new() };
        let mut look = || {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            shown.wall.push(wall.as_nanos().to_string());
            shown.monotonic.push(start.elapsed().as_nanos().to_string());
        };
        for nap_us in naps.naps_us {
            look();
            std::thread::sleep(Duration::from_micros(nap_us));
        }
        look();
        for n in 0..1_000_000 {
            black_box(n);
        }
        look();
        Ok(shown)
    }

    /// Calls a tool, and says what the wall clock shows before and after that, in nanoseconds.
    pub fn time_call(order: Order) -> Result<[String; 2], ToolError> {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string();
        let before = now();
        let called = tool_sdk::call_all([Call::new(&order.name, &order.input)?]);
        called.into_iter().collect::<Result<Vec<Value>, ToolError>>()?;
        Ok([before, now()])
    }

    /// Lists a directory in the order in which it gets the names.
    pub fn list(directory: Directory) -> Result<Vec<String>, ToolError> {
        let failed = |error: std::io::Error| ToolError::Failed(error.to_string());
        let entries = std::fs::read_dir(directory.path).map_err(failed)?;
        entries.map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// What a call can see of the machine.
    #[derive(Serialize, JsonSchema)]
    pub struct Seen {
        env: Vec<String>,
        arguments: Vec<String>,
        root: Result<Vec<String>, String>,
        passwd: Result<String, String>,
        tcp: Result<(), String>,
        dns: Result<Vec<String>, String>,
    }

    /// Looks around: environment, arguments, files, network.
    pub fn peek() -> Result<Seen, ToolError> {
        use std::net::{TcpStream, ToSocketAddrs as _};
        let text = |error: std::io::Error| error.to_string();
        let names = |entries: std::fs::ReadDir| {
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
        };
        Ok(Seen {
            env: std::env::vars().map(|(key, value)| format!("{key}={value}")).collect(),
            arguments: std::env::args().collect(),
            root: std::fs::read_dir("/").map(names).map_err(text),
            passwd: std::fs::read_to_string("/etc/passwd").map_err(text),
            tcp: TcpStream::connect("127.0.0.1:1").map(drop).map_err(text),
            dns: ("localhost", 80)
                .to_socket_addrs()
                .map(|found| found.map(|address| address.to_string()).collect())
                .map_err(text),
        })
    }

    /// The context of this call.
    #[derive(Serialize, JsonSchema)]
    pub struct Context {
        call_id: String,
        idempotency_key: String,
        attempt: u32,
        deadline_ms: u64,
    }

    /// Returns the context of this call.
    pub fn context() -> Result<Context, ToolError> {
        let tool_sdk::CallContext { call_id, idempotency_key, attempt, deadline_ms } = tool_sdk::context();
        Ok(Context { call_id, idempotency_key, attempt, deadline_ms })
    }

    /// What the world looks like at this moment.
    #[derive(Serialize, JsonSchema)]
    pub struct Now {
        now_ms: u64,
        random: String,
    }

    /// Returns the time and random numbers.
    pub fn now() -> Result<Now, ToolError> {
        let random = || RandomState::new().hash_one(1);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Ok(Now { now_ms, random: format!("{:016x}{:016x}", random(), random()) })
    }

    /// Returns what differs from one run of a native program to the next: random numbers, the order of a hash
    /// map, the bits of what is not a number.
    pub fn dice() -> Result<Vec<String>, ToolError> {
        let map: HashMap<u32, u32> = (0..20).map(|n| (n, n)).collect();
        let order: Vec<String> = map.keys().map(u32::to_string).collect();
        let nan = black_box(0.0_f64) / black_box(0.0_f64);
        let random: Vec<String> =
            (0..3).map(|_| format!("{:016x}", RandomState::new().hash_one(1))).collect();
        Ok(vec![order.join(" "), format!("{:016x}", nan.to_bits()), random.join(" ")])
    }

    /// Counts its calls in memory; 1 wherever every call has an instance of its own.
    pub fn counter() -> Result<u32, ToolError> {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        Ok(CALLS.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
