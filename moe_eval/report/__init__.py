"""The report: run folders in, one HTML file out that needs no network, for a colleague or a reviewer to look around in.

`runs` reads run folders, `questions` puts the answers of several runs side by side, `pictures` shrinks the pictures,
`summary` and `tables` prepare what is shown above the samples, `page` makes the HTML. What is not trusted (answers,
questions, names) reaches the page as data: escaped by the template, or as JSON that the script shows as text.
"""
