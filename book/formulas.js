// The pages write formulas as GitHub does, ```math blocks and $`...`$ within a line, which Markdown leaves as they are.
// This hands both to MathJax, which takes its formulas from script elements of the type math/tex.
for (const code of document.querySelectorAll("main code")) {
    const before = code.previousSibling, after = code.nextSibling;
    const display = code.classList.contains("language-math");
    const inline = before?.nodeType === 3 && after?.nodeType === 3 && before.data.endsWith("$") && after.data.startsWith("$");
    if (!display && !inline) continue;

    const formula = document.createElement("script");
    formula.type = display ? "math/tex; mode=display" : "math/tex";
    formula.text = code.textContent;
    if (inline) {
        before.data = before.data.slice(0, -1);
        after.data = after.data.slice(1);
    }
    (display ? code.closest("pre") : code).replaceWith(formula);
}
// MathJax may have been through the page before.
window.MathJax?.Hub?.Queue(["Typeset", window.MathJax.Hub]);
