//! Nodes that wait, and let others run meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_timer::Delay;
use redraft_engine::Node;
use redraft_engine::cx::{Cx, Reporter};
use redraft_engine::flow::{Later, Lazy, Wants};
use redraft_engine::io::Wildcard;
use redraft_engine::node::Run;
use redraft_nodes::values::Image;
use tch::Tensor;

use crate::types::plain_image;

/// How often a node that waits looks around.
const MOMENT: Duration = Duration::from_millis(10);

fn milliseconds(seconds: f64) -> usize {
    (seconds * 1000.0).clamp(0.0, 1e9).round() as usize
}

/// Waits, and reports how far it is.
async fn wait(seconds: f64, reporter: &Reporter) -> anyhow::Result<()> {
    let (start, total) = (Instant::now(), milliseconds(seconds));
    loop {
        let passed = usize::try_from(start.elapsed().as_millis()).unwrap_or(total).min(total);
        reporter.progress(passed, total)?;
        if passed >= total {
            return Ok(());
        }
        Delay::new(MOMENT).await;
    }
}

/// Hands on a value after some seconds.
#[derive(Node)]
#[node(category = "_for_testing", display = "Test Sleep", hidden("unique_id"))]
struct TestSleep {
    value: Wildcard,
    /// How long to wait, in seconds.
    #[input(default = 1.0, min = 0.0, max = 9999.0, step = 0.01)]
    seconds: f64,
}

impl Run for TestSleep {
    type Out = Later<Wildcard>;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        let reporter = cx.reporter();
        Ok(Later::new(async move {
            wait(self.seconds, &reporter).await?;
            Ok(self.value)
        }))
    }
}

thread_local! {
    /// How many [`TestMeet`] have begun.
    static ARRIVED: Cell<usize> = const { Cell::new(0) };
}

/// Hands on a value once `count` nodes of its kind have begun: a run ends only if they wait side by side.
#[derive(Node)]
#[node(category = "_for_testing/async", display = "Test Meet")]
struct TestMeet {
    value: Wildcard,
    #[input(default = 2, min = 1)]
    count: i64,
    #[input(default = 0)]
    #[allow(dead_code, reason = "it tells the nodes apart")]
    node_id: i64,
}

impl Run for TestMeet {
    type Out = Later<Wildcard>;

    fn run(self, _: &mut Cx) -> anyhow::Result<Self::Out> {
        let (before, count) = (ARRIVED.get(), usize::try_from(self.count)?);
        ARRIVED.set(before + 1);
        let all = (before / count + 1) * count;
        Ok(Later::new(async move {
            while ARRIVED.get() < all {
                Delay::new(MOMENT).await;
            }
            Ok(self.value)
        }))
    }
}

/// As [`TestSleep`], with another name for the seconds.
#[derive(Node)]
#[node(category = "_for_testing/async", display = "Async Progress Update Test Node")]
struct TestAsyncProgressUpdate {
    value: Wildcard,
    #[input(default = 1.0)]
    sleep_seconds: f64,
}

impl Run for TestAsyncProgressUpdate {
    type Out = Later<Wildcard>;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        let reporter = cx.reporter();
        Ok(Later::new(async move {
            wait(self.sleep_seconds, &reporter).await?;
            Ok(self.value)
        }))
    }
}

/// Waits without letting others run.
#[derive(Node)]
#[node(category = "_for_testing/async", display = "Sync Progress Update Test Node")]
struct TestSyncProgressUpdate {
    value: Wildcard,
    #[input(default = 1.0)]
    sleep_seconds: f64,
}

impl Run for TestSyncProgressUpdate {
    type Out = Wildcard;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Wildcard> {
        let (start, total) = (Instant::now(), milliseconds(self.sleep_seconds));
        loop {
            let passed = usize::try_from(start.elapsed().as_millis()).unwrap_or(total).min(total);
            cx.progress(passed, total)?;
            if passed >= total {
                return Ok(self.value);
            }
            std::thread::sleep(MOMENT);
        }
    }
}

/// Fails after some seconds.
#[derive(Node)]
#[node(category = "_for_testing/async", display = "Test Async Error")]
struct TestAsyncError {
    #[allow(dead_code, reason = "it fails before it is needed")]
    value: Wildcard,
    #[input(default = 0.1, min = 0.0, max = 10.0)]
    error_after: f64,
}

impl Run for TestAsyncError {
    type Out = Later<Wildcard>;

    fn run(self, _: &mut Cx) -> anyhow::Result<Self::Out> {
        Ok(Later::new(async move {
            Delay::new(Duration::from_secs_f64(self.error_after)).await;
            anyhow::bail!("this node fails on purpose, after a while")
        }))
    }
}

/// Fails at once.
#[derive(Node)]
#[node(category = "_for_testing/async", display = "Test Sync Error")]
struct TestSyncError {
    #[allow(dead_code, reason = "it fails before it is needed")]
    value: Wildcard,
}

impl Run for TestSyncError {
    type Out = Wildcard;

    fn run(self, _: &mut Cx) -> anyhow::Result<Wildcard> {
        anyhow::bail!("this node fails on purpose")
    }
}

/// Does something that takes time, and gives up if it takes too long.
#[derive(Node)]
#[node(category = "_for_testing/async", display = "Test Async Timeout")]
struct TestAsyncTimeout {
    value: Wildcard,
    #[input(default = 1.0, min = 0.1, max = 10.0)]
    timeout: f64,
    #[input(default = 2.0, min = 0.1, max = 10.0)]
    operation_time: f64,
}

impl Run for TestAsyncTimeout {
    type Out = Later<Wildcard>;

    fn run(self, _: &mut Cx) -> anyhow::Result<Self::Out> {
        Ok(Later::new(async move {
            Delay::new(Duration::from_secs_f64(self.timeout.min(self.operation_time))).await;
            anyhow::ensure!(self.operation_time <= self.timeout, "timeout: not done after {} seconds", self.timeout);
            Ok(self.value)
        }))
    }
}

/// Pulls in one of two values.
#[derive(Node)]
#[node(category = "_for_testing/async", display = "Test Async Lazy Check")]
struct TestAsyncLazyCheck {
    input1: Lazy<Wildcard>,
    input2: Lazy<Wildcard>,
    #[input(default = true)]
    condition: bool,
}

impl Run for TestAsyncLazyCheck {
    type Out = Image;

    fn needs(&self, wants: &mut Wants) -> anyhow::Result<()> {
        wants.ask(if self.condition { &self.input1 } else { &self.input2 });
        Ok(())
    }

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(plain_image(1.0))
    }
}

thread_local! {
    /// The resources that nodes are using.
    static IN_USE: RefCell<HashSet<String>> = RefCell::default();
    /// How many nodes are at work of which only so many may be.
    static AT_WORK: Cell<usize> = const { Cell::new(0) };
}

/// Holds something that only one may hold, for as long as it lives.
struct Holding(String);

impl Holding {
    fn new(resource: String) -> anyhow::Result<Self> {
        let free = IN_USE.with_borrow_mut(|in_use| in_use.insert(resource.clone()));
        anyhow::ensure!(free, "resource {resource} is already in use");
        Ok(Self(resource))
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        IN_USE.with_borrow_mut(|in_use| in_use.remove(&self.0));
    }
}

/// Uses something for a while that only one may use.
#[derive(Node)]
#[node(category = "_for_testing/async", display = "Test Async Resource User")]
struct TestAsyncResourceUser {
    value: Wildcard,
    #[input(default = "resource_0")]
    resource_id: String,
    #[input(default = 0.1, min = 0.0, max = 1.0)]
    duration: f64,
}

impl Run for TestAsyncResourceUser {
    type Out = Later<Wildcard>;

    fn run(self, _: &mut Cx) -> anyhow::Result<Self::Out> {
        Ok(Later::new(async move {
            let _holding = Holding::new(self.resource_id)?;
            Delay::new(Duration::from_secs_f64(self.duration)).await;
            Ok(self.value)
        }))
    }
}

/// Inverts pictures one by one, each after a while.
#[derive(Node)]
#[node(category = "_for_testing/async", display = "Test Async Batch Processing", hidden("unique_id"))]
struct TestAsyncBatchProcessing {
    images: Image,
    #[input(default = 0.1, min = 0.01, max = 1.0)]
    process_time_per_item: f64,
}

impl Run for TestAsyncBatchProcessing {
    type Out = Later<Image>;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        let reporter = cx.reporter();
        Ok(Later::new(async move {
            let images = self.images.0;
            let count = images.size()[0];
            let mut inverted = Vec::new();
            for i in 0..count {
                Delay::new(Duration::from_secs_f64(self.process_time_per_item)).await;
                inverted.push(1.0 - images.narrow(0, i, 1));
                reporter.progress(inverted.len(), usize::try_from(count)?)?;
            }
            Ok(Image(Tensor::cat(&inverted, 0)))
        }))
    }
}

/// How many nodes of one class may be at work at once.
const MOST_AT_WORK: usize = 2;

/// One of the few that may be at work, for as long as it lives.
struct AtWork;

impl AtWork {
    async fn begin() -> Self {
        while AT_WORK.get() >= MOST_AT_WORK {
            Delay::new(MOMENT).await;
        }
        AT_WORK.set(AT_WORK.get() + 1);
        Self
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.set(AT_WORK.get() - 1);
    }
}

/// Works for a while, at most two at a time.
#[derive(Node)]
#[node(category = "_for_testing/async", display = "Test Async Concurrent Limit")]
struct TestAsyncConcurrentLimit {
    value: Wildcard,
    #[input(default = 0.5, min = 0.1, max = 2.0)]
    duration: f64,
    #[input(default = 0)]
    #[allow(dead_code, reason = "it tells the nodes apart")]
    node_id: i64,
}

impl Run for TestAsyncConcurrentLimit {
    type Out = Later<Wildcard>;

    fn run(self, _: &mut Cx) -> anyhow::Result<Self::Out> {
        Ok(Later::new(async move {
            let _at_work = AtWork::begin().await;
            Delay::new(Duration::from_secs_f64(self.duration)).await;
            Ok(self.value)
        }))
    }
}
