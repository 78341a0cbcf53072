//! The help of every command.

use crate::sandbox::{Sandbox, all_match};

#[test]
fn every_command_explains_itself() {
    let sandbox = Sandbox::new();
    sandbox.good("--help").matches("help");
    for verb in [
        "generate",
        "simulate",
        "train",
        "distill",
        "fit",
        "sample",
        "solve",
        "eval",
        "bench",
        "model",
        "data",
        "config",
        "doctor",
        "pde",
        "cite",
        "completions",
    ] {
        let lines = match verb {
            "model" => vec!["model", "model info", "model pack"],
            "data" => vec!["data", "data info", "data verify", "data import"],
            "config" => vec!["config", "config check", "config schema"],
            "bench" => vec!["bench", "bench unconditional", "bench conditional", "bench tune"],
            "pde" => vec!["pde", "pde list", "pde show"],
            one => vec![one],
        };
        let runs: Vec<_> = lines.iter().map(|l| sandbox.good(&format!("{l} --help"))).collect();
        all_match(&format!("help-{verb}"), &runs);
    }
}

#[test]
fn every_command_with_work_to_do_shows_an_example() {
    let sandbox = Sandbox::new();
    let help = sandbox.good("help").stdout;
    let listed =
        help.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    let verbs: Vec<&str> = listed.filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(verbs.len(), 17, "{verbs:?}");
    for verb in verbs
        .iter()
        .filter(|verb| !["help", "model", "data", "pde", "config", "bench"].contains(verb))
    {
        let help = sandbox.good(&format!("{verb} --help")).stdout;
        assert!(help.contains(&format!("Example: phys-instruct {verb}")), "{help}");
    }
}
