//! The pacer against models of a service that allows so many calls a second.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;

/// Microseconds of simulated time as a timestamp.
fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(1_760_000_000 * SECOND + micros).expect("valid")
}

/// How a service counts its calls.
#[derive(Clone, Debug)]
enum Limiter {
    /// So many in each whole second that begins at `phase`.
    Window { phase: i64, second: i64, count: i64 },
    /// A bucket of `size` tokens, filled at the limit's rate.
    Bucket { size: f64, tokens: f64, filled: i64 },
}

impl Limiter {
    fn allows(&mut self, now: i64, limit: f64) -> bool {
        match self {
            Self::Window {
                phase,
                second,
                count,
            } => {
                let current = (now + *phase).div_euclid(SECOND);
                if current != *second {
                    (*second, *count) = (current, 0);
                }
                *count += 1;
                *count as f64 <= limit
            }
            Self::Bucket {
                size,
                tokens,
                filled,
            } => {
                let earned = (now - *filled) as f64 / SECOND as f64 * limit;
                (*tokens, *filled) = ((*tokens + earned).min(*size), now);
                let allowed = *tokens >= 1.0;
                if allowed {
                    *tokens -= 1.0;
                }
                allowed
            }
        }
    }
}

/// A service, its callers, and the simulated time between them.
struct World {
    pacer: Pacer,
    limiter: Limiter,
    limit: f64,
    /// Latency in microseconds at a moment, from a random number.
    latency: Box<dyn Fn(i64, i64) -> i64>,
    random: u64,
    now: i64,
    in_flight: BinaryHeap<Reverse<(i64, i64, bool)>>,
    accepted: Vec<i64>,
    refused: Vec<i64>,
}

impl World {
    fn new(limiter: Limiter, limit: f64, latency: impl Fn(i64, i64) -> i64 + 'static) -> Self {
        Self {
            pacer: Pacer::new(1_000.0, 32),
            limiter,
            limit,
            latency: Box::new(latency),
            random: 42,
            now: 0,
            in_flight: BinaryHeap::new(),
            accepted: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn random(&mut self) -> i64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        i64::try_from(self.random >> 33).expect("31 bits")
    }

    /// Sends whatever the pacer lets through until `end`.
    fn run_until(&mut self, end: i64) {
        let mut wake = self.now;
        while self.now < end {
            let ends = self
                .in_flight
                .peek()
                .map_or(i64::MAX, |Reverse(call)| call.0);
            let has_slot = self.in_flight.len() < self.pacer.concurrency() as usize;
            if has_slot && wake <= ends {
                self.now = self.now.max(wake);
                wake = self.send();
            } else {
                self.receive();
            }
        }
    }

    /// Returns when to ask again.
    fn send(&mut self) -> i64 {
        let now = self.now;
        if let Err(wait) = self.pacer.take(at(now)) {
            // A timer is late by up to a millisecond.
            return now + i64::try_from(wait.as_micros()).expect("short") + self.random() % 1_000;
        }
        let random = self.random();
        let latency = (self.latency)(now, random);
        let allowed = self.limiter.allows(now, self.limit);
        self.in_flight
            .push(Reverse((now + latency, latency, allowed)));
        now
    }

    fn receive(&mut self) {
        let Some(Reverse((end, latency, allowed))) = self.in_flight.pop() else {
            return;
        };
        self.now = self.now.max(end);
        let latency = Duration::from_micros(u64::try_from(latency).expect("positive"));
        let (verdict, log) = match allowed {
            true => (Verdict::Accepted, &mut self.accepted),
            false => (Verdict::Refused, &mut self.refused),
        };
        log.push(self.now);
        self.pacer.done(at(self.now), latency, verdict);
    }

    /// Share of the limit that was used between two moments, and share of calls that were refused.
    fn shares(&self, from: i64, to: i64) -> (f64, f64) {
        let count = |log: &[i64]| log.iter().filter(|end| (from..to).contains(*end)).count() as f64;
        let (accepted, refused) = (count(&self.accepted), count(&self.refused));
        let seconds = (to - from) as f64 / SECOND as f64;
        (
            accepted / (self.limit * seconds),
            refused / (accepted + refused),
        )
    }
}

fn limiter() -> impl Strategy<Value = Limiter> {
    let window = (0..SECOND).prop_map(|phase| Limiter::Window {
        phase,
        second: -1,
        count: 0,
    });
    let bucket = (5.0..300.0).prop_map(|size| Limiter::Bucket {
        size,
        tokens: size,
        filled: 0,
    });
    prop_oneof![window, bucket]
}

proptest! {
    #[test]
    fn finds_what_the_service_allows(
        limiter in limiter(),
        limit in 60_u32..=250,
        least in 5_000_i64..=20_000,
        spread in 1_i64..=50_000,
        stalls_one_in in 25_i64..=1_000,
    ) {
        // The slowest call takes up to eight times as long as the quickest, but for those that stall.
        let spread = spread.min(7 * least);
        let latency = move |_, random: i64| {
            let stall = if random / 65_536 % stalls_one_in == 0 { 200_000 } else { 0 };
            least + random % spread + stall
        };
        let mut world = World::new(limiter, f64::from(limit), latency);
        world.run_until(60 * SECOND);
        let (used, refused) = world.shares(0, 60 * SECOND);
        let (used_later, refused_later) = world.shares(15 * SECOND, 60 * SECOND);
        let all = format!("{used:.3} {refused:.4}; later {used_later:.3} {refused_later:.4}");
        prop_assert!(used_later >= 0.85 && refused_later < 0.03, "{}", all);
        prop_assert!(used >= 0.85 && refused < 0.03, "{}", all);
    }
}

#[test]
fn follows_what_the_service_allows_when_that_falls() {
    let limiter = Limiter::Window {
        phase: 0,
        second: -1,
        count: 0,
    };
    let mut world = World::new(limiter, 200.0, |_, random| 5_000 + random % 35_000);
    world.run_until(30 * SECOND);
    world.limit = 80.0;
    world.run_until(60 * SECOND);
    let (used, refused) = world.shares(35 * SECOND, 60 * SECOND);
    assert!(used >= 0.85 && refused < 0.03, "{used:.3} {refused:.4}");
}

fn unlimited() -> Limiter {
    Limiter::Bucket {
        size: 1e9,
        tokens: 1e9,
        filled: 0,
    }
}

#[test]
fn starts_slowly_and_doubles_up_to_the_limit_of_the_step() {
    let mut world = World::new(unlimited(), 1e9, |_, _| 10_000);
    world.pacer.set_max(200.0);
    let mut rates = vec![world.pacer.rate()];
    for tenth in 1..=100 {
        world.run_until(tenth * SECOND / 10);
        rates.push(world.pacer.rate());
    }
    rates.dedup();
    assert_eq!(rates, [20.0, 40.0, 80.0, 160.0, 200.0]);
    let (used, refused) = world.shares(8 * SECOND, 10 * SECOND);
    assert!(used * world.limit <= 205.0 && refused == 0.0);
    world.pacer.set_max(50.0);
    assert_eq!(world.pacer.rate(), 50.0);
}

#[test]
fn yields_when_latency_doubles_and_comes_back() {
    for (least, spread) in [(10_000, 5_000), (5_000, 35_000)] {
        let busy = 20 * SECOND..40 * SECOND;
        let mut world = World::new(unlimited(), 1e9, move |now, random| {
            let factor = if busy.contains(&now) { 3 } else { 1 };
            factor * (least + random % spread)
        });
        world.pacer.set_max(300.0);
        world.run_until(20 * SECOND);
        assert_eq!(world.pacer.rate(), 300.0);
        world.run_until(25 * SECOND);
        let early = world.pacer.rate();
        assert!(early < 300.0 * 0.6 && early > 300.0 * 0.3, "{early}");
        world.run_until(40 * SECOND);
        assert_eq!(world.pacer.rate(), START_RATE);
        world.run_until(80 * SECOND);
        let late = world.pacer.rate();
        assert!(late > 2.0 * START_RATE, "{late}");
    }
}

#[test]
fn latency_that_grows_with_the_load_ends_the_doubling() {
    // Beyond 100 calls a second the service slows down: 32 slots then take 0.2 s each.
    let mut pacer = Pacer::new(1_000.0, 32);
    let mut now = 0;
    while now < 60 * SECOND {
        match pacer.take(at(now)) {
            Ok(()) => {
                let latency = if pacer.rate() > 100.0 { 200 } else { 20 };
                pacer.done(at(now), Duration::from_millis(latency), Verdict::Accepted);
            }
            Err(wait) => now += i64::try_from(wait.as_micros()).expect("short") + 1,
        }
    }
    assert!((50.0..=110.0).contains(&pacer.rate()), "{}", pacer.rate());
}

#[test]
fn a_service_that_is_slower_for_good_is_not_waited_for() {
    let mut world = World::new(unlimited(), 1e9, |now, _| {
        if now < 10 * SECOND { 10_000 } else { 50_000 }
    });
    world.run_until(40 * SECOND);
    assert_eq!(world.pacer.rate(), START_RATE);
    world.run_until(120 * SECOND);
    assert!(world.pacer.rate() > START_RATE, "{}", world.pacer.rate());
}

#[test]
fn a_rate_that_is_not_used_does_not_grow() {
    let mut pacer = Pacer::new(1_000.0, 32);
    for tick in 0..300 {
        let now = at(tick * SECOND / 10);
        pacer.take(now).expect("ten a second are fewer than twenty");
        pacer.done(now, Duration::from_millis(5), Verdict::Accepted);
    }
    assert_eq!(pacer.rate(), START_RATE);
}

#[test]
fn retreats_at_most_once_a_second_and_never_to_nothing() {
    let mut pacer = Pacer::new(1_000.0, 32);
    for milli in 0..1_000 {
        pacer.refused(at(milli * 1_000));
    }
    assert_eq!(pacer.rate(), START_RATE * RETREAT);
    for second in 1..100 {
        pacer.refused(at(second * SECOND));
    }
    assert_eq!(pacer.rate(), LEAST_RATE);
    let wait = (0..3)
        .find_map(|_| pacer.take(at(100 * SECOND)).err())
        .expect("a wait");
    assert!(wait <= Duration::from_secs(1));
}

#[test]
fn spaces_calls_evenly() {
    let mut pacer = Pacer::new(1_000.0, 32);
    let mut left = Vec::new();
    for milli in 0..1_000 {
        if pacer.take(at(milli * 1_000)).is_ok() {
            left.push(milli);
        }
    }
    assert!((20..=21).contains(&left.len()), "{left:?}");
    let gaps: Vec<i64> = left
        .windows(2)
        .skip(1)
        .map(|pair| pair[1] - pair[0])
        .collect();
    assert!(gaps.iter().all(|gap| (49..=51).contains(gap)), "{gaps:?}");
}

#[test]
fn a_clock_that_is_set_back_stops_nothing() {
    let mut pacer = Pacer::new(1_000.0, 32);
    for second in 0..5 {
        pacer
            .take(at(3_600 * SECOND + second * SECOND))
            .expect("due");
        pacer.refused(at(3_600 * SECOND + second * SECOND));
    }
    pacer.take(at(0)).expect("an hour earlier");
    pacer.done(at(0), Duration::from_millis(5), Verdict::Accepted);
    let wait = (0..3)
        .find_map(|_| pacer.take(at(0)).err())
        .expect("a wait");
    assert!(wait <= Duration::from_secs(1));
}
