-- A page's references under a heading of their own, as the embedded renderer has them.

local kinds = { fig = true, tbl = true, sec = true }

function Pandoc(document)
  local cited = false
  document:walk({ Cite = function(cite)
    for _, citation in ipairs(cite.citations) do
      cited = cited or not kinds[citation.id:match("^(%l+)%-")]
    end
  end })
  if cited then
    document.blocks:insert(pandoc.Header(2, "References", { id = "references", class = "unnumbered" }))
    document.blocks:insert(pandoc.Div({}, { id = "refs" }))
    return document
  end
end
