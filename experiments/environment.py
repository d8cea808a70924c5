"""Settings of the process environment that make XLA faster on CPU; they must be there before a process starts."""


def fast_environment() -> dict[str, str]:
    """Variables for a process that runs JAX on CPU; what the user has set goes before these.

    Wide vectors for loops over elements, and huge pages for the large arrays that XLA allocates and frees each step
    (measured in benchmarks/NOTES.md).
    """
    large = 4 << 30
    return {"XLA_FLAGS": "--xla_cpu_prefer_vector_width=512",
            "GLIBC_TUNABLES": f"glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold={large}:"
                              f"glibc.malloc.trim_threshold={2 * large}",
            "TF_CPP_MIN_LOG_LEVEL": "2"}
