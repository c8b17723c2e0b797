//! Hundreds of random questions of every verb, answered by primed and by primecount, primesieve and PARI/GP.
//!
//! Ignored unless asked for, because the peers have to be installed (`.ci/run` does). The seed is printed;
//! `PRIMED_SEED` replays it.

mod support;

use support::{Client, daemon};

use std::io::Write;
use std::process::{Command, Stdio};

/// A xorshift generator: the tests need variety, not quality.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let fresh = now.map_or(1, |time| time.as_secs());
        let seed = std::env::var("PRIMED_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or(fresh);
        println!("PRIMED_SEED={seed}");
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number of at most `bits` bits, every length equally likely.
    fn up_to_bits(&mut self, bits: u32) -> u64 {
        let length = 1 + u32::try_from(self.next() % u64::from(bits)).expect("a small number");
        self.next() >> (64 - length)
    }

    /// The same for up to 128 bits.
    fn wide(&mut self) -> u128 {
        let length = 1 + u32::try_from(self.next() % 127).expect("a small number");
        (u128::from(self.next()) << 64 | u128::from(self.next())) >> (128 - length)
    }
}

/// What a program prints, as lines.
fn run(program: &str, args: &[String], input: &str) -> Vec<String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is not installed: {error}"));
    child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(input.as_bytes())
        .expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{program} {args:?} failed");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    text.lines().map(str::to_owned).collect()
}

/// What PARI prints for each expression.
fn pari(expressions: &[String]) -> Vec<String> {
    let script: String = expressions
        .iter()
        .map(|expression| format!("print({expression});\n"))
        .collect();
    run(
        "gp",
        &["-q".into(), "--default".into(), "parisize=64000000".into()],
        &script,
    )
}

/// What primed answers, all questions at once.
fn primed(requests: &[String]) -> Vec<String> {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    client.send(requests.join("\n") + "\n");
    requests
        .iter()
        .map(|request| {
            let line = client.line().expect("every request is answered");
            line.strip_prefix("OK")
                .unwrap_or_else(|| panic!("{request}: {line}"))
                .trim()
                .to_owned()
        })
        .collect()
}

fn agree(requests: &[String], expected: &[String]) {
    assert_eq!(requests.len(), expected.len());
    for ((request, answer), expected) in requests.iter().zip(primed(requests)).zip(expected) {
        assert_eq!(&answer, expected, "{request}");
    }
}

#[test]
#[ignore = "needs primecount"]
fn pi_agrees_with_primecount() {
    let mut random = Random::seeded();
    let numbers: Vec<u64> = (0..250).map(|_| random.up_to_bits(45)).collect();
    let expected: Vec<String> = numbers
        .iter()
        .flat_map(|x| run("primecount", &[x.to_string()], ""))
        .collect();
    agree(
        &numbers.iter().map(|x| format!("pi {x}")).collect::<Vec<_>>(),
        &expected,
    );
}

#[test]
#[ignore = "needs primecount"]
fn nth_agrees_with_primecount() {
    let mut random = Random::seeded();
    let numbers: Vec<u64> = (0..250).map(|_| 1 + random.up_to_bits(39)).collect();
    let ask = |n: &u64| run("primecount", &["-n".into(), n.to_string()], "");
    let expected: Vec<String> = numbers.iter().flat_map(ask).collect();
    agree(
        &numbers.iter().map(|n| format!("nth {n}")).collect::<Vec<_>>(),
        &expected,
    );
}

#[test]
#[ignore = "needs primesieve"]
fn counts_agree_with_primesieve() {
    let mut random = Random::seeded();
    let ranges: Vec<(u64, u64)> = (0..250)
        .map(|_| {
            let low = random.up_to_bits(63);
            (low, low + random.up_to_bits(26))
        })
        .collect();
    let ask = |(low, high): &(u64, u64)| match high - low {
        0 => vec!["0".to_owned()],
        _ => run(
            "primesieve",
            &["-q".into(), low.to_string(), (high - 1).to_string()],
            "",
        ),
    };
    let expected: Vec<String> = ranges.iter().flat_map(ask).collect();
    let requests = |method: &str| {
        ranges
            .iter()
            .map(|(low, high)| format!("count {low} {high}{method}"))
            .collect::<Vec<_>>()
    };
    agree(&requests(" method=sieve"), &expected);
    agree(&requests(""), &expected);
}

#[test]
#[ignore = "needs PARI/GP"]
fn primes_agree_with_pari() {
    let mut random = Random::seeded();
    for _ in 0..100 {
        let low = random.up_to_bits(63);
        let high = low + random.up_to_bits(14);
        let expected = pari(&[format!("primes([{low},{}])", high.saturating_sub(1))]);
        let expected = expected[0].trim_matches(['[', ']']).replace(',', "");
        let daemon = daemon();
        let text = support::exchange(&daemon, format!("primes {low} {high}\n"));
        let rows: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("= ")).collect();
        let expected = if high == low { "" } else { &expected };
        assert_eq!(rows.join(" "), expected, "primes {low} {high}");
    }
}

#[test]
#[ignore = "needs PARI/GP"]
fn primality_and_neighbours_agree_with_pari() {
    let mut random = Random::seeded();
    let mut requests = Vec::new();
    let mut expressions = Vec::new();
    let mut products = Vec::new();
    for _ in 0..250 {
        let n = random.wide();
        let odd = n | 1;
        requests.push(format!("isprime {odd}"));
        expressions.push(format!("if(isprime({odd}),\"yes\",\"no\")"));
        requests.push(format!("next {n}"));
        expressions.push(format!("nextprime({n}+1)"));
        requests.push(format!("prev {}", n + 3));
        expressions.push(format!("precprime({n}+2)"));
        products.push(format!("nextprime({n})*nextprime({n}+1000)"));
    }
    for bits in [200, 400, 800] {
        for _ in 0..20 {
            let n = format!("2^{bits}+{}", random.next());
            requests.push(format!("next {n}"));
            expressions.push(format!("nextprime({n}+1)"));
            requests.push(format!("isprime {n}"));
            expressions.push(format!("if(ispseudoprime({n}),\"yes\",\"no\")"));
        }
    }
    agree(&requests, &pari(&expressions));
    let products: Vec<String> = pari(&products).iter().map(|n| format!("isprime {n}")).collect();
    agree(&products, &vec!["no".to_owned(); products.len()]);
}

#[test]
#[ignore = "needs PARI/GP"]
fn factors_agree_with_pari() {
    let mut random = Random::seeded();
    let mut numbers: Vec<u128> = (0..150).map(|_| 2 + u128::from(random.up_to_bits(63))).collect();
    numbers.extend((0..150).map(|_| 2 + (random.wide() >> 32)));
    let expressions: Vec<String> = numbers
        .iter()
        .map(|n| format!("strjoin(concat(apply(f->vector(f[2],i,Str(f[1])),Vec(factor({n})~))),\" \")"))
        .collect();
    let expected: Vec<String> = pari(&expressions)
        .into_iter()
        .map(|line| line.trim().to_owned())
        .collect();
    agree(
        &numbers.iter().map(|n| format!("factor {n}")).collect::<Vec<_>>(),
        &expected,
    );
}

#[test]
#[ignore = "needs primesieve"]
fn constellations_agree_with_primesieve() {
    let mut random = Random::seeded();
    let kinds = ["twins", "triplets", "quadruplets", "quintuplets", "sextuplets"];
    let (mut requests, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let low = random.up_to_bits(63);
        let high = low + 1 + random.up_to_bits(26);
        for (which, kind) in kinds.iter().enumerate() {
            requests.push(format!("count {low} {high} kind={kind}"));
            let flag = format!("-c{}", which + 2);
            expected.extend(run(
                "primesieve",
                &["-q".into(), flag, low.to_string(), (high - 1).to_string()],
                "",
            ));
        }
    }
    agree(&requests, &expected);
}

#[test]
#[ignore = "needs PARI/GP"]
fn sums_gaps_and_pairs_agree_with_pari() {
    let mut random = Random::seeded();
    let (mut requests, mut expressions) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let low = random.up_to_bits(60);
        let high = low + 2 + random.up_to_bits(18);
        let primes = format!("primes([{low},{}])", high - 1);
        requests.push(format!("sum {low} {high}"));
        expressions.push(format!("vecsum({primes})"));
        for (kind, distance) in [("cousins", 4), ("sexy", 6)] {
            requests.push(format!("count {low} {high} kind={kind}"));
            expressions.push(format!(
                "sum(i=1,#v={primes},v[i]+{distance}<{high}&&isprime(v[i]+{distance}))"
            ));
        }
        requests.push(format!("gaps {low} {high}"));
        expressions.push(format!(
            "v={primes};d=vector(max(#v-1,0),i,v[i+1]-v[i]);if(#d,vecmax(d,&i);Str(d[i],\" \",v[i],\" \",v[i+1]),\"\")"
        ));
    }
    agree(&requests, &pari(&expressions));
}

#[test]
#[ignore = "needs PARI/GP"]
fn functions_of_factors_agree_with_pari() {
    let mut random = Random::seeded();
    let (mut requests, mut expressions, mut primes) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..150 {
        // Every fifth is beyond 2^128, by a part that is easily factored.
        let n = match 1 + (random.wide() >> 40) {
            n if index % 5 == 0 => format!("{n}*{}!", 40 + index),
            n => n.to_string(),
        };
        for (verb, function) in [
            ("totient", "eulerphi(n)"),
            ("sigma", "sigma(n)"),
            ("moebius", "moebius(n)"),
            ("radical", "vecprod(factor(n)[,1])"),
        ] {
            requests.push(format!("{verb} {n}"));
            expressions.push(function.replace("(n)", &format!("({n})")));
        }
        // Roots need the factors of the prime less 1.
        if index % 5 != 0 {
            primes.push(format!("nextprime({n})"));
        }
    }
    agree(&requests, &pari(&expressions));
    // PARI's znprimroot is the least root of a prime.
    let primes = pari(&primes);
    let roots: Vec<String> = primes.iter().map(|p| format!("lift(znprimroot({p}))")).collect();
    let requests: Vec<String> = primes.iter().map(|p| format!("root {p}")).collect();
    agree(&requests, &pari(&roots));
}

#[test]
#[ignore = "needs PARI/GP"]
fn divisors_agree_with_pari() {
    let mut random = Random::seeded();
    let daemon = daemon();
    for _ in 0..60 {
        let n = 1 + random.up_to_bits(50);
        let text = support::exchange(&daemon, format!("divisors {n}\n"));
        let rows: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("= ")).collect();
        let expected = pari(&[format!("divisors({n})")]);
        let expected = expected[0].trim_matches(['[', ']']).replace(',', "");
        assert_eq!(rows.join(" "), expected, "{n}");
    }
}

#[test]
#[ignore = "needs PARI/GP"]
fn certificates_are_valid_for_pari_and_those_of_pari_for_us() {
    let mut random = Random::seeded();
    let numbers: Vec<u128> = (0..60).map(|_| random.wide() >> 1).collect();
    let primes = pari(&numbers.iter().map(|n| format!("nextprime({n})")).collect::<Vec<_>>());
    let certificates = primed(&primes.iter().map(|p| format!("certify {p}")).collect::<Vec<_>>());
    let checks: Vec<String> = certificates
        .iter()
        .map(|text| format!("primecertisvalid({text})"))
        .collect();
    assert!(pari(&checks).iter().all(|verdict| verdict == "1"), "{certificates:?}");
    let theirs = pari(&primes.iter().map(|p| format!("primecert({p},1)")).collect::<Vec<_>>());
    let all = theirs.iter().chain(&certificates);
    let requests: Vec<String> = all
        .map(|text| format!("certify check={}", text.replace(' ', "")))
        .collect();
    assert!(primed(&requests).iter().all(|verdict| verdict == "yes"));
}

#[test]
#[ignore = "needs PARI/GP"]
fn certificates_by_curves_are_valid_for_pari_and_those_of_pari_for_us() {
    let mut random = Random::seeded();
    let lengths = (39..120).step_by(3);
    let numbers = lengths.map(|digits| format!("10^{digits}+{}", random.wide() >> 1));
    let primes = pari(&numbers.map(|n| format!("nextprime({n})")).collect::<Vec<_>>());
    let certificates = primed(
        &primes
            .iter()
            .map(|p| format!("certify {p} form=pari"))
            .collect::<Vec<_>>(),
    );
    let checks: Vec<String> = certificates
        .iter()
        .zip(&primes)
        // Some need no curve: N-1 has small factors enough.
        .map(|(text, p)| {
            format!("primecertisvalid({text})&&((type({text}[1])==\"t_VEC\"&&{text}[1][1]=={p})||{text}[1]=={p})")
        })
        .collect();
    assert!(pari(&checks).iter().all(|verdict| verdict == "1"), "{certificates:?}");
    let theirs = pari(&primes.iter().map(|p| format!("primecert({p})")).collect::<Vec<_>>());
    let requests: Vec<String> = theirs
        .iter()
        .chain(&certificates)
        .map(|text| format!("certify check={}", text.replace(' ', "")))
        .collect();
    assert!(primed(&requests).iter().all(|verdict| verdict == "yes"), "{theirs:?}");
}

/// PARI has no form for the number above, but it knows which of these numbers are prime.
#[test]
#[ignore = "needs PARI/GP"]
fn certificates_by_the_number_above_are_of_what_pari_proves_prime() {
    let mersenne = [131, 137, 139, 521, 523, 541, 607, 613]
        .map(|p| format!("2^{p}-1"))
        .into_iter();
    let smooth = (101..200).step_by(2).map(|k| format!("{k}*2^70*3^50-1"));
    let numbers: Vec<String> = mersenne.chain(smooth).collect();
    let are_prime = pari(&numbers.iter().map(|n| format!("isprime({n})")).collect::<Vec<_>>());
    let certificates = primed(&numbers.iter().map(|n| format!("certify {n}")).collect::<Vec<_>>());
    for ((n, is_prime), text) in numbers.iter().zip(&are_prime).zip(&certificates) {
        assert_eq!(is_prime == "1", text != "composite", "{n}: {text}");
    }
    let proofs: Vec<&String> = certificates.iter().filter(|text| *text != "composite").collect();
    assert!(
        proofs.len() > 3 && proofs.iter().all(|text| text.contains(",[],")),
        "{proofs:?}"
    );
    let checks: Vec<String> = proofs.iter().map(|text| format!("certify check={text}")).collect();
    assert!(primed(&checks).iter().all(|verdict| verdict == "yes"));
    let for_pari = primed(&["certify 109*2^70*3^50-1 form=pari".to_owned()]);
    assert_eq!(pari(&[format!("primecertisvalid({})", for_pari[0])]), ["1"]);
}

#[test]
#[ignore = "needs PARI/GP"]
fn written_numbers_agree_with_pari() {
    let texts = [
        "100!+1",
        "97!-5",
        "3*2^189+1",
        "0xdeadbeef*0x10+7",
        "2**61-1",
        "5!*7-3*4+1",
    ];
    let expressions: Vec<String> = texts
        .iter()
        .map(|text| format!("nextprime({}+1)", text.replace("**", "^")))
        .collect();
    let requests: Vec<String> = texts.iter().map(|text| format!("next {text}")).collect();
    agree(&requests, &pari(&expressions));
    let primorials = ["97#+1", "541#-1"];
    let expressions = ["vecprod(primes([2,97]))+1", "vecprod(primes([2,541]))-1"];
    let expressions: Vec<String> = expressions.iter().map(|n| format!("nextprime({n}+1)")).collect();
    let requests: Vec<String> = primorials.iter().map(|text| format!("next {text}")).collect();
    agree(&requests, &pari(&expressions));
}
