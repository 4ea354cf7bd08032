// Gives the app's identity roles in a whole subscription: reading its VMs, quota and providers.
targetScope = 'subscription'

@description('Object id of the app\'s identity.')
param principalId string

@description('Resource ids of role definitions, as infra/roles/roles.bicep prints them.')
param roleDefinitionIds string[]

resource assignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for id in roleDefinitionIds: {
  name: guid(subscription().id, principalId, id)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: id
  }
}]
