//! What the demo tells somebody who has never seen Weir.

use std::net::SocketAddr;

use super::args::{DemoArgs, Monitoring, Scenario};
use super::exam::{ANSWERS, Exam};
use super::fleet::{MONITORS, TASKS, THREADS, WORKERS};
use super::functions::SOCKETS;
use weir_kit::{numbers::count, text::wrap};

/// What is going to happen.
pub(super) fn introduction(
    exam: &Exam,
    args: &DemoArgs,
    server_limit: Option<u32>,
    cap: u32,
) -> String {
    let paragraphs = match args.scenario {
        Scenario::Service => [
            environments(exam, args.monitoring),
            phases(server_limit, cap),
        ],
        Scenario::Sidecar => [workers(exam), sidecar_phases(server_limit, cap)],
        Scenario::Lambda => [functions(exam), function_phases(server_limit, cap)],
    };
    let [who, mut phases] = paragraphs;
    if args.kill_database {
        phases += " In the middle of each phase the database is killed (kill -9), and started \
                   again.";
    }
    let [who, phases] = [who, phases].map(|paragraph| wrap(&paragraph));
    [who, phases, wrap(&bounds(exam, server_limit))].join("\n\n")
}

/// The students of `--as service`.
fn environments(exam: &Exam, monitoring: Monitoring) -> String {
    let sockets = monitoring.sockets();
    format!(
        "An exam starts. {} students arrive within {} seconds, each in a Lambda environment of \
         its own: they read their user, fetch the quiz, start an attempt and submit {ANSWERS} \
         answers. Every environment opens {sockets} sockets, {} in all: {}.",
        count(exam.students.into()),
        exam.arrivals().as_secs(),
        count(u64::from(sockets) * u64::from(exam.students)),
        match monitoring {
            Monitoring::Stream =>
                "one for its requests and two with which a driver watches its server (newer \
                 drivers that notice Lambda watch with one: --monitoring poll)",
            Monitoring::Poll =>
                "one for its requests and one with which a driver in Lambda watches its server",
        },
    )
}

/// The students of `--as sidecar`.
fn workers(exam: &Exam) -> String {
    let all = TASKS * WORKERS;
    format!(
        "An exam starts. {} students arrive within {} seconds at a web application that has just \
         scaled out from {} tasks to {TASKS}, with {WORKERS} worker processes each: real Python \
         with PyMongo, {THREADS} threads in every process, and a pool kept as large \
         (minPoolSize={THREADS}), so that a burst waits for no handshake. That is {all} × \
         ({THREADS} + {MONITORS} to watch the server) = {} connections; the last task comes last.",
        count(exam.students.into()),
        exam.arrivals().as_secs(),
        TASKS - 1,
        count((all * (THREADS + MONITORS)) as u64),
    )
}

/// What happens with sidecars.
fn sidecar_phases(server_limit: Option<u32>, cap: u32) -> String {
    match server_limit {
        Some(limit) => format!(
            "First the workers connect directly to a real MongoDB that takes {} connections, as a \
             small tier does. Then each task has a Weir of its own, which may open {cap}; its \
             four workers connect to that, and the only change is their connection string.",
            count(limit.into()),
        ),
        None => format!(
            "Each task has a Weir of its own, which may open {cap} connections to each node of \
             your deployment; its four workers connect to that. Nobody connects directly: that \
             could take every connection your applications need. All data is in the database \
             weir_demo, which is dropped at the end."
        ),
    }
}

/// The students of `--as lambda`.
fn functions(exam: &Exam) -> String {
    format!(
        "An exam starts. {} students arrive within {} seconds, each in a Lambda environment of \
         its own, under AWS's own emulator: real Python with PyMongo, a client that is made when \
         the module is loaded, an invocation for every request, cold starts included. Every \
         environment opens {SOCKETS} sockets, {} in all: one for its requests and one with which \
         a driver in Lambda watches its server.",
        count(exam.students.into()),
        exam.arrivals().as_secs(),
        count(u64::from(SOCKETS * exam.students)),
    )
}

/// What happens with functions.
fn function_phases(server_limit: Option<u32>, cap: u32) -> String {
    let change = "the layer is attached, with the extension and the shim, and two variables are \
        set: AWS_LAMBDA_EXEC_WRAPPER and WEIR_SERVICE. The code and its connection string stay. \
        Half of the environments go to each of two shared Weirs";
    match server_limit {
        Some(limit) => format!(
            "First the functions connect directly to a real MongoDB that takes {} connections: a \
             small tier, made smaller as the environments are fewer. Then {change}, which may \
             open {cap} each.",
            count(limit.into()),
        ),
        None => format!(
            "At once {change}, which may open {cap} connections each to each node of your \
             deployment. Nobody connects directly: that could take every connection your \
             applications need. All data is in the database weir_demo, which is dropped at the \
             end."
        ),
    }
}

/// What happens with one Weir.
fn phases(server_limit: Option<u32>, cap: u32) -> String {
    match server_limit {
        Some(limit) => format!(
            "First they connect directly to a real MongoDB that takes {} connections, as a small \
             tier does. Then the same students come to a fresh one through Weir, which may open \
             {cap}.",
            count(limit.into()),
        ),
        None => format!(
            "They come to your deployment through Weir, which may open {cap} connections to each \
             node. Nobody connects directly: that could take every connection your applications \
             need. All data is in the database weir_demo, which is dropped at the end."
        ),
    }
}

fn bounds(exam: &Exam, server_limit: Option<u32>) -> String {
    format!(
        "{} {} seconds at most. Ctrl-C at any time ends the demo and removes what it made.",
        match server_limit {
            Some(_) => "Each phase takes",
            None => "It takes",
        },
        exam.length.as_secs()
    )
}

/// What to try now.
pub(super) fn next_steps(address: SocketAddr, admin: SocketAddr, database: &str) -> String {
    format!(
        "    mongosh \"mongodb://{address}/{database}\"\n    \
         python3 -c \"import pymongo; print(pymongo.MongoClient('mongodb://{address}')\
         .{database}.attempts.find_one())\"\n\n    \
         status    http://{admin}/status\n    \
         web page  http://{admin}/\n"
    )
}

#[cfg(test)]
mod tests {
    use weir_kit::text::WIDTH;

    use std::time::Duration;

    use super::*;

    fn exam() -> Exam {
        Exam {
            students: 1_500,
            length: Duration::from_secs(20),
            patience: Duration::from_secs(10),
            seed: 1,
        }
    }

    fn args(scenario: Scenario, monitoring: Monitoring) -> DemoArgs {
        DemoArgs {
            clients: 1_500,
            seconds: 20,
            patience: 10,
            upstream: None,
            scenario,
            layer: None,
            monitoring,
            seed: 1,
            kill_database: false,
            exit: true,
        }
    }

    #[test]
    fn sidecars_are_introduced_with_the_sum_of_their_workers_connections() {
        let args = args(Scenario::Sidecar, Monitoring::Stream);
        for limit in [Some(500), None] {
            let text = introduction(&exam(), &args, limit, 20);
            assert!(text.contains("= 792"), "{text}");
            assert!(
                text.lines().all(|line| line.chars().count() <= WIDTH),
                "{text}"
            );
        }
    }

    #[test]
    fn functions_are_introduced_with_their_number_and_the_two_variables() {
        let args = args(Scenario::Lambda, Monitoring::Poll);
        let exam = Exam {
            students: 60,
            ..exam()
        };
        for limit in [Some(60), None] {
            let text = introduction(&exam, &args, limit, 5);
            for said in [
                "60 students",
                "120 in",
                "AWS_LAMBDA_EXEC_WRAPPER",
                "WEIR_SERVICE",
            ] {
                assert!(text.contains(said), "{said} in {text}");
            }
            assert!(
                text.lines().all(|line| line.chars().count() <= WIDTH),
                "{text}"
            );
        }
    }

    #[test]
    fn the_introduction_fits_the_screen_and_names_the_numbers() {
        for (monitoring, limit, numbers) in [
            (
                Monitoring::Stream,
                Some(500),
                ["1,500", "4,500", "500", "20"],
            ),
            (
                Monitoring::Poll,
                None,
                ["1,500", "3,000", "weir_demo", "20"],
            ),
        ] {
            let text = introduction(&exam(), &args(Scenario::Service, monitoring), limit, 20);
            for number in numbers {
                assert!(text.contains(number), "{number} in {text}");
            }
            for line in text.lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
            }
        }
    }

    #[test]
    fn the_strings_to_try_carry_the_real_addresses() {
        let text = next_steps(
            "127.0.0.1:27018".parse().unwrap(),
            "127.0.0.1:9605".parse().unwrap(),
            "quiz",
        );
        assert!(text.contains("mongosh \"mongodb://127.0.0.1:27018/quiz\"\n"));
        assert!(text.contains("MongoClient('mongodb://127.0.0.1:27018').quiz.attempts"));
        assert!(text.contains("http://127.0.0.1:9605/status\n"));
    }
}
