# SPDX-License-Identifier: Apache-2.0
"""Figures: exact tables on the data of the repository, and JSON that agrees with them."""
import json
import re
import shlex

from harness import Case

KEYS = "data/kv-smollm2/layer14.k.npy"
SIFT = "data/sift/base.bvecs"
SEARCH = "search --base data/sift/base.bvecs --queries data/sift/queries.bvecs --no-time"

# JSON keys of what a table shows, in its order.
KV_COLUMNS = ("layer key_bits value_bits bytes bytes_per_token ratio key_nmse key_nmse_theory "
              "value_nmse value_nmse_theory key_cosine value_cosine logit_rms_error output_error "
              "output_cosine").split()
THEORY_COLUMNS = ("dim bits nmse_lower_bound nmse_theory nmse_measured nmse_bound "
                  "product_lower_bound_times_dim product_unbiased_times_dim "
                  "product_algorithm2_theory_times_dim product_algorithm2_times_dim "
                  "product_bound_times_dim").split()
SEARCH_COLUMNS = "bits recall coded_bytes_per_vector held_bytes_per_vector ratio".split()


class Figures(Case):
    def assert_shown(self, shown, value):
        """shown is what a table has for a value of JSON."""
        if value is None:
            self.assertEqual(shown, "-")
        elif isinstance(value, str):
            self.assertEqual(shown, value)
        elif isinstance(value, list):
            self.assertEqual(shown, " x ".join(map(str, value)))
        else:
            decimals = len(shown.partition(".")[2])
            # JSON has 10 digits: the last one shown may differ by a rounding.
            self.assertLessEqual(abs(float(shown) - value), 0.5000001 * 10.0 ** -decimals)

    def test_lists(self):
        self.ok("encode", KEYS, "keys.qrows")
        runs = [
            f"encode {KEYS} out.qrows --no-time",
            f"encode {SIFT} out.qrows --no-time --bits 1 --scale f16",
            "decode keys.qrows out.npy --no-time",
            "decode keys.qrows out.npy --no-time --dtype f16",
            "inspect keys.qrows", f"inspect {KEYS}", f"inspect {SIFT}", "version",
        ]
        text = ""
        for run in runs:
            args = shlex.split(run)
            table = self.ok(*args).decode()
            values = json.loads(self.ok(*args, "--json"))
            self.assertEqual(values.pop("command"), args[0])
            shown = [re.split(r"  +", line, maxsplit=1)[1] for line in table.splitlines()]
            self.assertEqual(len(shown), len(values), run)
            for one, value in zip(shown, values.values()):
                self.assert_shown(one, value)
            if args[0] != "version":
                text += self.transcript(*args) + "\n" + self.transcript(*args, "--json") + "\n"
        self.compare("lists.txt", text)

    def test_times(self):
        values = json.loads(self.ok("encode", KEYS, "a.qrows", "--json"))
        self.assertEqual(values["threads"], 2)
        self.assertGreater(values["seconds"], 0)
        self.assertAlmostEqual(values["rows_per_second"] * values["seconds"], values["rows"],
                               delta=1)
        self.assertRegex(self.ok("encode", KEYS, "a.qrows").decode(),
                         r"\nthreads +2\nseconds +\d+\.\d{3}\nrows/s +\d+\nMB/s +\d+\.\d\n\Z")
        run = SEARCH.replace("--no-time", "--bits 1").split()
        values = json.loads(self.ok(*run, "--json"))
        self.assertGreater(values["exact_us_per_query"], 0)
        self.assertGreater(values["results"][0]["add_us_per_vector"], 0)
        self.assertGreater(values["results"][0]["search_us_per_query"], 0)
        self.assertRegex(self.ok(*run).decode(), r"\n\nexact search in f64: \d+\.\d us/query\n\Z")

    def check_table(self, lines, rows, columns):
        self.assertEqual(len(lines), len(rows))
        for line, row in zip(lines, rows):
            shown = line.split()
            self.assertEqual(len(shown), len(columns))
            for one, key in zip(shown, columns):
                self.assert_shown(one, row[key])

    def test_kv(self):
        runs = [
            ("kv.txt", "kv data/kv-smollm2", KV_COLUMNS),
            ("kv_pairs.txt", "kv data/kv-smollm2 --key-bits 4,2 --value-bits 2,3 --search-level 0 "
                             "--seed 7 --seeds 2", KV_COLUMNS),
            ("kv_no_queries.txt", f"kv --keys {KEYS} --values data/kv-smollm2/layer14.v.npy "
                                  "--bits 3", KV_COLUMNS[:-3]),
        ]
        for name, run, columns in runs:
            with self.subTest(name):
                args = run.split()
                table = self.ok(*args).decode()
                values = json.loads(self.ok(*args, "--json"))
                self.check_table(table.splitlines()[2:], values["layers"] + values["mean"],
                                 columns)
                self.compare(name, self.transcript(*args))
                for row in values["layers"]:
                    parts = (row["key_code_bytes"] + row["value_code_bytes"] + row["scale_bytes"] +
                             row["table_bytes"])
                    self.assertEqual(parts, row["bytes"])

    def test_kv_mean(self):
        values = json.loads(self.ok("kv", "data/kv-smollm2", "--json"))
        self.assertEqual([row["layer"] for row in values["layers"][::3]],
                         ["layer00", "layer14", "layer29"])
        for key in KV_COLUMNS[3:]:
            for i, mean in enumerate(values["mean"]):
                rows = values["layers"][i::3]
                self.assertAlmostEqual(sum(row[key] for row in rows) / 3, mean[key],
                                       delta=1e-8 * abs(mean[key]))

    def test_kv_seeds(self):
        run = ["kv", "--keys", KEYS, "--values", "data/kv-smollm2/layer14.v.npy", "--bits", "2",
               "--json"]
        one, two, both = (json.loads(self.ok(*run, *more))["layers"][0]["key_nmse"] for more in
                          [("--seed", "5"), ("--seed", "6"), ("--seed", "5", "--seeds", "2")])
        self.assertNotEqual(one, two)
        self.assertAlmostEqual((one + two) / 2, both, places=9)

    def test_search(self):
        runs = [
            ("search_cosine.txt", SEARCH),
            ("search_l2.txt", SEARCH + " --metric l2 -k 1 --bits 2 --seeds 2 --search-level 1"),
            ("search_ip.txt", SEARCH + " --metric ip --bits 4,1 --centre-rows 4500"),
        ]
        for name, run in runs:
            with self.subTest(name):
                args = run.split()
                table = self.ok(*args).decode()
                values = json.loads(self.ok(*args, "--json"))
                lines = table.splitlines()
                self.assertEqual(
                    lines[0], f"{values['vectors']} vectors of {values['dim']} numbers, "
                              f"{values['queries']} queries, metric {values['metric']}, "
                              f"k = {values['k']}")
                self.check_table(lines[4:], values["results"], SEARCH_COLUMNS)
                self.compare(name, self.transcript(*args))

    def test_bench(self):
        args = "bench", "encode", "--dims", "48,64", "--bits", "1,3", "--rows", "70", "--rounds", "1"
        values = json.loads(self.ok(*args, "--json"))
        self.assertEqual(values["library"].rsplit(" ", 1)[1], "workers=1")
        cases = [(r["dim"], r["bits"], r["search_level"], r["rows"]) for r in values["results"]]
        self.assertEqual(cases, [(d, b, s, 70) for d in (48, 64) for b in (1, 3) for s in (0, 1, 2)])
        self.assertGreater(values["copy_gb_per_second"], 0)
        for row in values["results"]:
            bytes_read = 4 * row["dim"]
            self.assertAlmostEqual(row["encode_gb_per_second"] * row["encode_ns_per_row"], bytes_read,
                                   delta=1e-6 * bytes_read)
            self.assertAlmostEqual(row["decode_gb_per_second"] * row["decode_ns_per_row"], bytes_read,
                                   delta=1e-6 * bytes_read)
            bytes_held = row["dim"] * row["bits"] // 8 + 4
            self.assertAlmostEqual(row["memory_ns_per_row"] * values["copy_gb_per_second"],
                                   bytes_read + bytes_held, delta=1e-6 * bytes_read)
        self.assertEqual(len(self.ok(*args).splitlines()), 5 + 3 + 12)

    def test_theory(self):
        args = "theory", "--dims", "48,64"
        values = json.loads(self.ok(*args, "--json"))["results"]
        self.check_table(self.ok(*args).decode().splitlines()[2:], values, THEORY_COLUMNS)
        self.assertEqual([(row["dim"], row["bits"]) for row in values],
                         [(dim, bits) for dim in (48, 64) for bits in (1, 2, 3, 4)])
        for row in values:
            with self.subTest(row):
                self.assertLess(row["nmse_lower_bound"], row["nmse_measured"])
                self.assertLess(row["nmse_measured"], row["nmse_bound"])
                # Least squares on thousands of rows: near the best fixed levels.
                self.assertAlmostEqual(row["nmse_measured"] / row["nmse_theory"], 1, delta=.05)
                # 64 queries: the mean square over pairs is known to a few per cent.
                self.assertAlmostEqual(row["product_algorithm2_times_dim"] /
                                       row["product_algorithm2_theory_times_dim"], 1, delta=.08)
                self.assertLess(row["product_unbiased_times_dim"],
                                row["product_algorithm2_times_dim"])
                self.assertLess(row["product_algorithm2_times_dim"],
                                row["product_bound_times_dim"])
