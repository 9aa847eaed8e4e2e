# data/providers becomes two sorted tables of C. A category that does not exist fails to compile.
# usage: LC_ALL=C awk -f providers.awk data/providers > provider_data.h

function complain(text)
{
    printf "%s:%d: %s\n", FILENAME, FNR, text > "/dev/stderr"
    failed = 1
}

function table(name, kind,    i, j, sorted, count, key)
{
    # insertion sort: portable, and no program is needed beside awk
    count = 0
    for (key in category) {
        if (substr(key, 1, length(kind) + 1) != kind " ")
            continue
        key = substr(key, length(kind) + 2)
        for (j = count++; j > 0 && sorted[j] "" > key ""; j--)
            sorted[j + 1] = sorted[j]
        sorted[j + 1] = key
    }
    printf "static const struct provider_rule %s[] = {\n", name
    for (i = 1; i <= count; i++)
        printf "    {\"%s\", PROVIDER_%s},\n", sorted[i], toupper(category[kind " " sorted[i]])
    print "};"
}

/^#/ || NF == 0 { next }
$2 != "domain" && $2 != "mx" || NF < 3 { complain("a line is CATEGORY, then domain or mx, then patterns"); next }
{
    for (i = 3; i <= NF; i++) {
        if ($i !~ /^(\*\.)?[a-z0-9.-]+$/)
            complain("\"" $i "\" is no pattern")
        else if (($2 " " $i) in category)
            complain("\"" $i "\" is here twice")
        else
            category[$2 " " $i] = $1
    }
}

END {
    if (failed)
        exit 1
    print "/* Made from data/providers. */"
    table("domain_rules", "domain")
    table("mx_rules", "mx")
}
