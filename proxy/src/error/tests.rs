use super::*;

const FAILURES: [Failure; 11] = [
    Failure::Interrupted,
    Failure::ReplyTimeout,
    Failure::LoginRefused,
    Failure::DeadlinePassed,
    Failure::WorkEnds { sent: true },
    Failure::WorkEnds { sent: false },
    Failure::Overloaded {
        backpressure: true,
        base_backoff_ms: 7,
    },
    Failure::Overloaded {
        backpressure: false,
        base_backoff_ms: 7,
    },
    Failure::NoNode,
    Failure::Draining,
    Failure::CursorNotFound,
];

/// One row of the contract: the label initials of each class, in the order of `Class::ALL`.
fn row(failure: Failure) -> [String; 7] {
    Class::ALL.map(|class| {
        let labels = reply(failure, class).labels;
        labels
            .names()
            .map(|name| {
                name.chars()
                    .filter(|c| c.is_uppercase())
                    .collect::<String>()
            })
            .collect::<Vec<_>>()
            .join(" ")
    })
}

#[test]
fn the_table_of_labels_is_the_contract() {
    assert_eq!(
        row(Failure::Interrupted),
        ["", "RWE", "", "TTE", "RWE UTCR", "RWE", "RCSE"]
    );
    assert_eq!(row(Failure::ReplyTimeout), row(Failure::Interrupted));
    assert_eq!(row(Failure::LoginRefused), ["", "", "", "", "UTCR", "", ""]);
    assert_eq!(
        row(Failure::DeadlinePassed),
        ["", "", "", "TTE", "UTCR", "", ""]
    );
    for sent in [true, false] {
        let ends = Failure::WorkEnds { sent };
        assert_eq!(row(ends), ["", "", "", "", "UTCR", "", ""]);
        // A driver's withTransaction repeats no commit that ran out of time.
        assert_eq!(reply(ends, Class::Commit).code, 50);
    }
    let overloaded = |backpressure| Failure::Overloaded {
        backpressure,
        base_backoff_ms: 0,
    };
    assert_eq!(
        row(overloaded(true)),
        [
            "SOE RE",
            "RWE SOE RE NWP",
            "SOE RE",
            "TTE SOE RE",
            "RWE SOE RE",
            "RWE SOE RE",
            "RCSE SOE RE"
        ]
    );
    assert_eq!(
        row(overloaded(false)),
        ["", "RWE NWP", "", "TTE", "RWE UTCR", "RWE", "RCSE"]
    );
    assert_eq!(
        row(Failure::NoNode),
        ["", "", "", "TTE", "RWE UTCR", "", "RCSE"]
    );
    assert_eq!(
        row(Failure::Draining),
        ["", "RWE NWP", "SOE RE", "TTE", "RWE", "RWE", "RCSE"]
    );
    assert_eq!(row(Failure::CursorNotFound), [""; 7]);
}

#[test]
fn no_label_ever_invites_a_second_execution() {
    for failure in FAILURES {
        let commit = reply(failure, Class::Commit).labels;
        assert!(
            !commit.contains(Labels::TRANSIENT_TRANSACTION),
            "{failure:?}"
        );
        let write = reply(failure, Class::Write).labels;
        assert!(!write.contains(Labels::RETRYABLE_WRITE), "{failure:?}");
    }
    for class in Class::ALL {
        for failure in [Failure::Interrupted, Failure::ReplyTimeout] {
            let labels = reply(failure, class).labels;
            assert!(!labels.contains(Labels::RETRYABLE), "{failure:?} {class:?}");
            assert!(!labels.contains(Labels::NO_WRITES), "{failure:?} {class:?}");
        }
    }
}

/// Found by the error table: the Go driver 1.17.10 reports such a write as done.
#[test]
fn no_writes_performed_is_never_said_of_what_is_not_to_be_tried_again() {
    for failure in FAILURES {
        for class in Class::ALL {
            let labels = reply(failure, class).labels;
            let alone =
                labels.contains(Labels::NO_WRITES) && !labels.contains(Labels::RETRYABLE_WRITE);
            assert!(!alone, "{failure:?} {class:?}");
        }
    }
}

#[test]
fn only_a_leaving_weir_uses_a_state_change_code_and_no_text_looks_like_one() {
    for failure in FAILURES {
        let reply = reply(failure, Class::Read);
        assert_eq!(is_state_change(reply.code), failure == Failure::Draining);
        assert!(!reply.message.contains("not master"));
        assert!(!reply.message.contains("node is recovering"));
    }
}

#[test]
fn the_document_carries_what_drivers_read() {
    let failure = Failure::Overloaded {
        backpressure: true,
        base_backoff_ms: 250,
    };
    let document = reply(failure, Class::RetryableWrite).document();
    assert_eq!(document.get_f64("ok").ok(), Some(0.0));
    assert_eq!(document.get_i32("code").ok(), Some(462));
    assert_eq!(document.get_i32("baseBackoffMS").ok(), Some(250));
    assert_eq!(
        document
            .get_array("errorLabels")
            .map(|a| a.into_iter().count())
            .ok(),
        Some(4)
    );
    let plain = ErrorReply::command_not_found(b"getnonce").document();
    assert!(plain.get("errorLabels").ok().flatten().is_none());
    assert_eq!(plain.get_str("codeName").ok(), Some("CommandNotFound"));
}
