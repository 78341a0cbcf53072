#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Table, String> {
    parse(text.as_bytes(), &["a".to_owned(), "u".to_owned()])
}

fn entry(line: u64, channel: usize, place: Place, value: f64, sd: Option<f64>) -> Entry {
    Entry { line, channel, place, value, sd, name: None }
}

fn point(row: usize, column: usize) -> Place {
    Place::Point { row, column }
}

/// The entries without the lines on which they stand.
fn unnumbered(table: &Table) -> Vec<Entry> {
    table.entries.iter().map(|e| Entry { line: 0, ..e.clone() }).collect()
}

#[test]
fn a_plain_table_is_read() {
    let table = read("field,row,column,value,sd\nu,2,7,-0.01,1e-3\na, 0, 3, 12,\nu,1,1,3,0\n");
    let expected = vec![
        entry(2, 1, point(2, 7), -0.01, Some(1e-3)),
        entry(3, 0, point(0, 3), 12.0, None),
        entry(4, 1, point(1, 1), 3.0, Some(0.0)),
    ];
    assert_eq!(table.unwrap(), Table { entries: expected, ..Table::default() });
}

#[test]
fn every_flavour_reads_the_same() {
    let plain = read("field,y,x,value,sd\nu,0.25,0.5,-0.0075,1e-5\na,1,0,12,\n").unwrap();
    for (flavour, text) in [
        ("byte order mark", "\u{feff}field,y,x,value,sd\nu,0.25,0.5,-0.0075,1e-5\na,1,0,12,\n"),
        ("CR LF", "field,y,x,value,sd\r\nu,0.25,0.5,-0.0075,1e-5\r\na,1,0,12,\r\n"),
        ("CR", "field,y,x,value,sd\ru,0.25,0.5,-0.0075,1e-5\ra,1,0,12,\r"),
        ("no newline", "field,y,x,value,sd\nu,0.25,0.5,-0.0075,1e-5\na,1,0,12,"),
        (
            "quotes",
            "\"field\", \"y\",\"x\",\"value\",\"sd\"\n\"u\",0.25,\"0.5\", \"-0.0075\",1e-5\na,1,0,12,\"\"\n",
        ),
        ("semicolons", "field;y;x;value;sd\nu;0.25;0.5;-0.0075;1e-5\na;1;0;12;\n"),
        ("decimal commas", "field;y;x;value;sd\nu;0,25;0,5;-0,0075;1e-5\na;1;0;12;\n"),
        (
            "quoted decimal commas",
            "field;y;x;value;sd\nu;\"0,25\";\"0,5\";\"-0,0075\";1e-5\na;1;0;12;\n",
        ),
        ("tabs", "field\ty\tx\tvalue\tsd\nu\t0.25\t0.5\t-0.0075\t1e-5\na\t1\t0\t12\t\n"),
        (
            "tabs, decimal commas",
            "field\ty\tx\tvalue\tsd\nu\t0,25\t0,5\t-0,0075\t1e-5\na\t1\t0\t12\t\n",
        ),
        ("sep=", "sep=;\nfield;y;x;value;sd\nu;0,25;0,5;-0,0075;1e-5\na;1;0;12;\n"),
        (
            "comments",
            "# u, \"a\n\nfield,y,x,value,sd\n  # one\nu,0.25,0.5,-0.0075,1e-5\n#\na,1,0,12,\n",
        ),
        ("capitals", "Field,Y,X,VALUE,Sd\nU,0.25,0.5,-0.0075,1E-5\nA,1,0,12,NaN\n"),
        ("other names", "variable,time,x,val,sigma\nu,0.25,0.5,-0.0075,1e-5\na,1,0,12,NA\n"),
        ("other order", "sd,x,y,value,field\n1e-5,0.5,0.25,-0.0075,u\n,0,1,12,a\n"),
        ("index", ",field,y,x,value,sd\n0,u,0.25,0.5,-0.0075,1e-5\n1,a,1,0,12,\n"),
        (
            "trailing separators",
            "field,y,x,value,sd,\nu,0.25,0.5,-0.0075,1e-5,,\na,1,0,12,,\n,,,,,\n",
        ),
        (
            "empty places",
            "field,row,column,y,x,value,sd\nu,,,0.25,0.5,-0.0075,1e-5\na,,NaN,1,0,12,\n",
        ),
        ("a field's column", "y,x,a,u,u_sd\n0.25,0.5,,-0.0075,1e-5\n1,0,12,NaN,\n"),
    ] {
        let table = read(text).unwrap_or_else(|e| panic!("{flavour}: {e}"));
        assert_eq!(unnumbered(&table), unnumbered(&plain), "{flavour}");
        assert!(table.ignored_columns.is_empty(), "{flavour}");
    }
}

#[test]
fn utf_16_is_read_by_its_byte_order_mark() {
    let text = "\u{feff}field\trow\tcolumn\tvalue\nu\t1\t2\t0,5\n";
    let channels = ["u".to_owned()];
    let expected = vec![entry(2, 0, point(1, 2), 0.5, None)];
    for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        let file: Vec<u8> = text.encode_utf16().flat_map(bytes).collect();
        assert_eq!(parse(&file, &channels).unwrap().entries, expected);
    }
    let unmarked: Vec<u8> = text.encode_utf16().skip(1).flat_map(u16::to_le_bytes).collect();
    assert!(parse(&unmarked, &channels).unwrap_err().contains("save the table as UTF-8"));
    let latin_1 = b"field,row,column,value\nu,1,2,0.5\n# Temp\xe9rature\n";
    let message = parse(latin_1, &channels).unwrap_err();
    assert!(message.starts_with("line 3: not UTF-8"), "{message}");
}

#[test]
fn lines_are_those_of_the_file() {
    let text =
        "# one\n\nfield,row,column,value\n\n# five\n# six\nu,1,1,two\n  # eight\n\nu,1,1,three";
    for text in [text.to_owned(), text.replace('\n', "\r\n"), text.replace('\n', "\r")] {
        let message = read(&text).unwrap_err();
        let expected =
            "line 7: value `two` is not a number\nline 10: value `three` is not a number";
        assert_eq!(message, expected);
    }
}

#[test]
fn empty_and_nan_values_are_counted() {
    let table = read("field,y,x,value\nu,0,0,\nu,0,1,NaN\nu,1,0,na\nu,1,1,2\n,,,null\n").unwrap();
    assert_eq!((table.entries.len(), table.unobserved), (1, 4));
    let wide = read("y,x,u,a\n0,0,1,\n0,1,,\n").unwrap();
    assert_eq!((wide.entries.len(), wide.unobserved), (1, 3));
}

#[test]
fn a_column_for_each_field_takes_its_deviations() {
    let table = read("i,j,u,a,a_sd\n1,2,0.5,3,0.1\n").unwrap();
    let expected = [entry(2, 0, point(1, 2), 3.0, Some(0.1)), entry(2, 1, point(1, 2), 0.5, None)];
    assert_eq!(table.entries, expected);
    let one = read("row,column,u,sd\n1,2,0.5,0.1\n").unwrap();
    assert_eq!(one.entries, [entry(2, 1, point(1, 2), 0.5, Some(0.1))]);
    let message = read("row,column,u,a,sd\n1,2,0.5,3,0.1\n").unwrap_err();
    assert!(message.contains("`sd` of which field"), "{message}");
}

#[test]
fn the_only_field_needs_no_name() {
    let table = parse(b"t,x,value\n0.5,0,1\n", &["u".to_owned()]).unwrap();
    assert_eq!(table.entries, [entry(2, 0, Place::At { y: 0.5, x: 0.0 }, 1.0, None)]);
    assert!(read("t,x,value\n0.5,0,1\n").unwrap_err().contains("no columns `field` and `value`"));
}

#[test]
fn a_column_named_after_a_field_is_the_fields() {
    let channels = ["T".to_owned(), "u".to_owned()];
    let table = parse(b"y,x,t\n0.5,0,1\n", &channels).unwrap();
    assert_eq!(table.entries, [entry(2, 0, Place::At { y: 0.5, x: 0.0 }, 1.0, None)]);
}

#[test]
fn places_of_a_map_are_northing_and_easting() {
    let table = read("Well,Easting,Northing,T,u\nP1,356000,5641000,30,0.5\n").unwrap();
    let at = Place::At { y: 5_641_000.0, x: 356_000.0 };
    let expected = Entry { name: Some("P1".into()), ..entry(0, 1, at, 0.5, None) };
    assert_eq!(unnumbered(&table), [expected]);
    assert_eq!(table.ignored_columns, ["T"]);

    // Beside y, a column `T` is none of the time.
    let table = read("y,x,T,u\n0.25,0.5,30,0.5\n").unwrap();
    assert_eq!(table.entries[0].place, Place::At { y: 0.25, x: 0.5 });
    assert_eq!(table.ignored_columns, ["T"]);
}

#[test]
fn other_columns_are_passed_over_by_name() {
    let table = read("i,field,y,x,unit,value,Remark\n1,u,0,1,m,2,\"a, b\"\n").unwrap();
    assert_eq!(table.ignored_columns, ["i", "unit", "Remark"]);
    assert_eq!(table.entries, [entry(2, 1, Place::At { y: 0.0, x: 1.0 }, 2.0, None)]);
}

#[test]
fn indices_may_be_written_as_decimal_numbers() {
    let table = read("field,row,column,value\nu,3.0,4e0,1\n").unwrap();
    assert_eq!(table.entries, [entry(2, 1, point(3, 4), 1.0, None)]);
    for index in ["3.5", "-1", "1e12", "inf"] {
        assert!(read(&format!("field,row,column,value\nu,{index},4,1\n")).is_err(), "{index}");
    }
}

#[test]
fn commas_in_numbers_are_read_only_where_they_mean_one_thing() {
    let value =
        |head: &str, line: &str| read(&format!("{head}\n{line}\n")).map(|t| t.entries[0].value);
    let (semicolon, tab) = ("field;row;column;value", "field\trow\tcolumn\tvalue");
    assert_eq!(value(semicolon, "u;1;1;1,234"), Ok(1.234));
    assert_eq!(value(tab, "u\t1\t1\t0,234"), Ok(0.234));
    for (head, line, reason) in [
        (tab, "u\t1\t1\t1,234", "may part thousands"),
        (semicolon, "u;1;1;1,234.5", "write every number with a decimal point"),
        (semicolon, "u;1;1;1,234,567", "not a number"),
        ("field,row,column,value", "u,1,1,\"1,5\"", "not a number"),
        ("field,row,column,value", "u,1,1,1,5", "5 cells under 4 columns"),
    ] {
        let message = value(head, line).unwrap_err();
        assert!(message.contains(reason), "{line}: {message}");
    }
}

#[test]
fn bad_heads_are_refused_with_the_names_found() {
    for (head, reason) in [
        ("", "empty; a head such as"),
        ("# nothing\n\n", "empty; a head such as"),
        ("field,row,row,column,value", "line 1: two columns `row`"),
        ("\nfield,row,col,Column,value", "line 2: the columns `col` and `Column` mean the same"),
        ("field,row,column", "no columns `field` and `value`"),
        ("row,column,u,U", "the columns `u` and `U` mean the same"),
        ("row,column,u,u_sd,sd", "the columns `sd` and `u_sd` mean the same"),
        ("field,value", "no columns `row` and `column`, or `y` and `x`"),
        ("row,x,pressure", "no columns `row` and `column`, or `y` and `x`"),
        ("row,x,pressure", "nor one named after a, u"),
        ("row,x,pressure", "the columns found are `row`, `x`, `pressure`"),
        ("u,3,4,0.001", "the columns found are `u`, `3`, `4`, `0.001`"),
    ] {
        let message = read(&format!("{head}\n")).unwrap_err();
        assert!(message.contains(reason), "{head}: {message}");
    }
}

#[test]
fn all_faults_of_a_file_are_told_at_once() {
    let text = "field,row,column,y,x,value,sd\n\
        w,1,1,,,2,\n\
        u,1,,,,2,0\n\
        u,1,1,0.5,0.5,2,0\n\
        u,,,,,2,0\n\
        u,a,1,,,b,-1\n\
        u,1,1,,,1e999,0\n\
        u,1,1,,,1\n\
        u,1,1,,,1,0,9\n";
    let message = read(text).unwrap_err();
    let expected = [
        "line 2: no field `w`; the fields are a, u",
        "line 3: no column",
        "line 4: two places, by row and column and by y and x; leave one of them out",
        "line 5: no place; row and column, or y and x, are needed",
        "line 6: row `a` is not a number",
        "line 6: value `b` is not a number",
        "line 6: sd `-1` is negative",
        "line 7: value `1e999` is not finite",
        "line 8: 6 cells under 7 columns",
        "line 9: 8 cells under 7 columns",
    ];
    assert_eq!(message.lines().collect::<Vec<_>>(), expected);

    let many = format!("field,row,column,value\n{}", "u,1,1,x\n".repeat(50));
    let message = read(&many).unwrap_err();
    assert_eq!((message.lines().count(), message.ends_with("and 30 more")), (21, true));
}

#[test]
fn a_quote_that_stays_open_is_found() {
    let message = read("field,row,column,value\nu,1,1,2\nu,1,2,\"3\nu,1,3,4\n").unwrap_err();
    assert_eq!(message, "line 3: a quote (\") is not closed");
}

proptest! {
    /// Tables cut and altered anywhere, and any bytes at all.
    #[test]
    fn damage_never_panics(
        from in 0usize..120,
        cut in 0usize..40,
        put in prop::collection::vec(any::<u8>(), 0..8),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let table = "# x\nfield;row;column;y;x;value;sd\nu;1;2;;;\"0,5\";1e-3\r\na;;;0,5;0;;\n";
        let mut damaged = table.as_bytes().to_vec();
        let from = from.min(damaged.len());
        damaged.splice(from..(from + cut).min(table.len()), put);
        let channels = ["a".to_owned(), "u".to_owned()];
        let _ = parse(&damaged, &channels);
        let _ = parse(&bytes, &channels);
    }

    /// Tables written with any separator and decimal mark are read again.
    #[test]
    fn what_is_written_is_read(
        rows in prop::collection::vec((0usize..2, 0usize..99, 0usize..99, -1e9f64..1e9, 0f64..1.0), 1..9),
        flavour in 0usize..3,
        quoted in any::<bool>(),
    ) {
        let (separator, comma) = [(",", false), (";", true), ("\t", false)][flavour];
        let mut text = ["field", "row", "column", "value", "sd"].join(separator) + "\n";
        for (channel, row, column, value, sd) in &rows {
            let numbers = [row.to_string(), column.to_string(), value.to_string(), sd.to_string()];
            let mut cells = vec![["a", "u"][*channel].to_owned()];
            cells.extend(numbers.map(|n| if comma { n.replace('.', ",") } else { n }));
            if quoted {
                cells.iter_mut().for_each(|cell| *cell = format!("\"{cell}\""));
            }
            text += &(cells.join(separator) + "\n");
        }
        let expected: Vec<Entry> = rows
            .iter()
            .enumerate()
            .map(|(i, &(c, row, column, value, sd))| {
                entry(i as u64 + 2, c, point(row, column), value, Some(sd))
            })
            .collect();
        prop_assert_eq!(read(&text).unwrap().entries, expected);
    }
}

/// The names of the entries' places.
fn names(text: &str) -> Vec<Option<String>> {
    read(text).unwrap().entries.into_iter().map(|entry| entry.name).collect()
}

#[test]
fn places_have_the_names_of_their_column() {
    let some = |name: &str| Some(name.to_owned());
    let expected = [some("B 3"), some("B 3"), None];
    assert_eq!(names("Well,y,x,a,u\nB 3,0.1,0.2,3,4\n,0.3,0.2,3,\n"), expected);
    assert_eq!(names("x,y,u,site\n0.2,0.1,3,\"A, east\"\n"), [some("A, east")]);
    assert_eq!(names("y,x,u\n0.1,0.2,3\n"), [None]);

    // A terminal must not obey what a file calls its places.
    assert_eq!(names("y,x,u,well\n0.1,0.2,3,\u{1b}[2JB3\n"), [some("[2JB3")]);

    // A table of named wells may number them, too.
    let both = "id,y,x,name,u\n1,0.1,0.2,B3,4\n";
    assert_eq!(names(both), [some("B3")]);
    assert_eq!(read(both).unwrap().ignored_columns, ["id"]);
    let two = read("name,name,y,x,u\nA,B,0,0,1\n").unwrap_err();
    assert!(two.contains("two columns `name`"), "{two}");
}

#[test]
fn a_field_called_as_a_column_of_names_holds_values() {
    let fields = ["site".to_owned(), "u".to_owned()];
    let table = parse(b"site,y,x\n3,0.1,0.2\n", &fields).unwrap();
    assert_eq!((table.entries[0].value, &table.entries[0].name), (3.0, &None));
}

#[test]
fn a_unit_may_follow_a_name() {
    let plain = read("a,u,u_sd,y,x\n3,4,0.1,0.2,0.3\n").unwrap();
    let units = read("a [m2/d],u (m),U_sd [cm],y,x\n3,4,0.1,0.2,0.3\n").unwrap();
    assert_eq!(unnumbered(&units), unnumbered(&plain));
    let stated = |head: &str, unit: &str, channel| StatedUnit {
        head: head.into(),
        unit: unit.into(),
        channel,
        of_deviation: head.contains("sd"),
    };
    let found = [("a [m2/d]", "m2/d", 0), ("u (m)", "m", 1), ("U_sd [cm]", "cm", 1)];
    assert_eq!(units.units, found.map(|(head, unit, c)| stated(head, unit, Some(c))));

    let long = read("field,value [m],y,x\nu,4,0.2,0.3\n").unwrap();
    assert_eq!(long.units, [stated("value [m]", "m", None)]);

    // The unit of a coordinate could not be checked.
    assert!(read("u,y [km],x [km]\n3,0.1,0.2\n").unwrap_err().contains("found are `u`, `y [km]`"));
    // Beside a plain name, one with brackets is another column.
    let beside = read("u,u (raw),x,y,x [km]\n3,4,0.1,0.2,7\n").unwrap();
    assert_eq!(beside.ignored_columns, ["u (raw)", "x [km]"]);
    let two = read("u [m],u (ft),x,y\n3,4,0.1,0.2\n").unwrap_err();
    assert!(two.contains("the columns `u [m]` and `u (ft)` mean the same"), "{two}");

    // A field's own name is never cut.
    let fields = ["h [m]".to_owned(), "u".to_owned()];
    let own = parse(b"h [m],y,x\n3,0.1,0.2\n", &fields).unwrap();
    assert_eq!((own.entries.len(), own.units.len()), (1, 0));
}
