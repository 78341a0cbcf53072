//! Tables of observations through `solve`.

use crate::sandbox::{Run, Sandbox};

/// Solves from a table and returns the number of observations and the misfit.
fn solve(sandbox: &Sandbox, table: &[u8]) -> (u64, f64) {
    sandbox.write("own.csv", table);
    let found = sandbox.json("solve student --task inverse --obs own.csv --ensemble 2");
    (found["points"].as_u64().unwrap(), found["misfit"].as_f64().unwrap())
}

#[test]
fn every_flavour_gives_the_same_answer() {
    let sandbox = Sandbox::with_models();
    let plain = solve(&sandbox, b"field,row,column,value,sd\nu,2,3,0.5,0.1\nu,5,6,-0.25,0.1\n");
    assert_eq!(plain.0, 2);
    let tabs = "\u{feff}field\trow\tcolumn\tvalue\tsd\nu\t2\t3\t0,5\t0,1\nu\t5\t6\t-0,25\t0,1\n";
    let utf_16: Vec<u8> = tabs.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for table in [
        "\u{feff}field,row,column,value,sd\r\nu,2,3,0.5,0.1\r\nu,5,6,-0.25,0.1\r\n".as_bytes(),
        b"\"field\",\"row\",\"column\",\"value\",\"sd\"\n\"u\",2,3,0.5,0.1\n\"u\",5,6,-0.25,0.1",
        b"field;row;column;value;sd\nu;2;3;0,5;0,1\nu;5;6;-0,25;0,1\n",
        b"# probe 7\n,Field,Row,Column,Value,SD,unit\n0,U,2.0,3.0,0.5,0.1,m\n1,u,5,6,-0.25,0.1,m\n",
        b"row,column,u,u_sd\n2,3,0.5,0.1\n4,4,,\n5,6,-0.25,0.1\n",
        &utf_16,
    ] {
        assert_eq!(solve(&sandbox, table), plain, "{}", String::from_utf8_lossy(table));
    }
}

#[test]
fn all_faults_of_a_table_are_told() {
    let sandbox = Sandbox::with_models();
    sandbox.write("own.csv", b"field,row,column,value,sd\nu,2,3,high,0.1\nu,-1,3,0.5,0.1\nu,2,3\n");
    let run = sandbox.run("solve student --task inverse --obs own.csv");
    assert_eq!(run.code, Some(2));
    for fault in [
        "own.csv: line 2: value `high` is not a number",
        "line 3: row `-1` is not an index",
        "line 4: 3 cells under 5 columns",
    ] {
        assert!(run.stderr.contains(fault), "{}", run.stderr);
    }
}

#[test]
fn an_empty_table_and_one_without_observed_values_are_refused() {
    let sandbox = Sandbox::with_models();
    for (table, reason) in [
        ("", "a head such as field,row,column,value expected"),
        ("row,column,u\n1,1,\n2,2,NaN\n", "at least one is needed"),
        ("row,column,pressure\n1,1,2\n", "the columns found are `row`, `column`, `pressure`"),
    ] {
        sandbox.write("own.csv", table.as_bytes());
        let run = sandbox.run("solve student --task inverse --obs own.csv");
        assert_eq!(run.code, Some(2), "{table}");
        assert!(run.stderr.contains(reason), "{}", run.stderr);
    }
}

#[test]
fn a_bare_pde_answers_on_the_grid_of_earlier_tables() {
    let sandbox = Sandbox::new();
    sandbox.write("own.csv", b"field,row,column,value\nu,40,40,0.003\n");
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");

    for (name, code, text) in [("darcy", 2, "the grid of 32 x 32 points"), ("darcy-64", 0, "")] {
        let line = format!("solve {name} --task inverse --obs own.csv --ensemble 2");
        let mut command = sandbox.command(&line);
        let run = Run::of(command.env("PHYS_INSTRUCT_MODELS", models).output().unwrap(), &line);
        assert_eq!(run.code, Some(code), "{line}\n{}", run.stderr);
        assert!(run.stderr.contains(text), "{line}\n{}", run.stderr);
    }
}
