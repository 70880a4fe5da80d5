//! Named points at which a test build can be made to die, before and after each durable step of the intake.
//!
//! Only with the cargo feature `failpoints`; without it nothing is compiled in. The environment variable `FAILPOINTS`
//! says where and when, such as `intake.after_commit=20*off->return` (the 21st time).

macro_rules! crash_point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        fail::fail_point!($name, |_| crate::crash::now());
    };
}

pub(crate) use crash_point;

/// Every point, for the test that dies at each of them.
pub const POINTS: [&str; 5] = [
    "intake.before_begin",
    "intake.after_begin",
    "intake.before_commit",
    "intake.after_commit",
    "intake.before_answer",
];

/// Dies as a power cut would have it: no destructor runs, no buffer is flushed.
#[cfg(feature = "failpoints")]
pub(crate) fn now<T>() -> T {
    let me = rustix::process::getpid();
    // The signal cannot be caught; the loop is never reached.
    let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
    loop {
        std::thread::park();
    }
}
