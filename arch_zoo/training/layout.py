"""Names of the files in the directory of a run, for whoever reads one without JAX as well."""

CONFIG_FILE = "config.json"            # resolved and reloadable
ENVIRONMENT_FILE = "environment.json"  # what may change numbers without being in the config
METRICS_FILE = "metrics.jsonl"         # one object for each logged step
RESULT_FILE = "result.json"            # written last: its presence means done
TOKENIZER = "tokenizer"                # the directory of the tokenizer that the run reads by
LOCK_FILE = ".lock"                    # locked by the process that works in the directory
